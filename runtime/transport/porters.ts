// Large bytes of a socket, carried by native threads: this thread's loop says what goes where, and is told when it is there.
//
// One for each direction. The socket's own reads rest while a porter receives, and its own writes while one sends.

import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { native, type PorterHandle, type Porters } from "../../native/index.ts";
import { ConnectionError, failureOf } from "../errors.ts";
import type { Failure } from "./messages.ts";

/** What is shorter is carried sooner than a thread is woken. */
export const CARRIED_FROM = 256 * 1024;
/** EPIPE: the other side has ended. */
const ENDED = 32;

/** The parts of a socket's handle that have no public face. */
interface HandleOwner {
  readonly _handle: { readonly fd: number } | null;
}

/** Undefined where the addon has none: the loop carries everything. */
export const systemPorters: Porters | undefined = native?.openPorter === undefined ? undefined : native as Porters;

/** Undefined where there can't be one more. */
function openPorter(porters: Porters, socket: Socket, told: Parameters<Porters["openPorter"]>[1]): PorterHandle | undefined {
  try {
    return porters.openPorter((socket as unknown as HandleOwner)._handle?.fd ?? -1, told);
  } catch {
    return undefined;
  }
}

function failureFrom(error: number): Failure {
  return failureOf(new ConnectionError(`the connection failed: ${getSystemErrorName(-error)}`));
}

export interface Arrival {
  /** Some of it came. */
  progress(): void;
  /** All of it came; its CRC-32. */
  arrived(sum: number): void;
  /** Nothing more comes. Undefined: the other side has ended. */
  ended(failure: Failure | undefined): void;
}

export class ReceivingPorter {
  readonly #porters: Porters;
  readonly #handle: PorterHandle;

  private constructor(porters: Porters, handle: PorterHandle) {
    this.#porters = porters;
    this.#handle = handle;
  }

  static of(porters: Porters, socket: Socket, { progress, arrived, ended }: Arrival): ReceivingPorter | undefined {
    const handle = openPorter(porters, socket, (error, left, sum) => {
      if (error !== 0) ended(error === ENDED ? undefined : failureFrom(error));
      else if (left === 0) arrived(sum);
      else progress();
    });
    return handle && new ReceivingPorter(porters, handle);
  }

  /** One after the other. The first bytes are there. */
  receive({ buffer, byteOffset, length }: Uint8Array, have: number): void {
    this.#porters.porterReceive(this.#handle, buffer, byteOffset, length, have);
  }

  /** Nothing is written to memory any more. Safe to call twice. */
  close(): void {
    this.#porters.porterClose(this.#handle);
  }
}

export interface Departure {
  /** Fewer bytes are left than before; maybe none. */
  drained(): void;
  failed(failure: Failure): void;
}

export class SendingPorter {
  readonly #porters: Porters;
  readonly #handle: PorterHandle;
  readonly #departure: Departure;
  /** Of bytes that may not change yet, by how much was sent when they have left. */
  readonly #leaving: { readonly until: number; readonly left: () => void }[] = [];
  #given = 0;
  #pending = 0;

  private constructor(porters: Porters, handle: PorterHandle, departure: Departure) {
    this.#porters = porters;
    this.#handle = handle;
    this.#departure = departure;
  }

  static of(porters: Porters, socket: Socket, departure: Departure): SendingPorter | undefined {
    const handle = openPorter(porters, socket, (error, left) => porter.#told(error, left));
    if (handle === undefined) return undefined;
    const porter = new SendingPorter(porters, handle, departure);
    return porter;
  }

  get pendingBytes(): number {
    return this.#pending;
  }

  /** `heads` are copied. `left` is called once, when the bytes beside them may change. */
  send(heads: Buffer, beside?: Uint8Array, left?: () => void): void {
    try {
      this.#pending = this.#porters.porterSend(this.#handle, heads, heads.length, beside);
    } catch {
      // It has failed, and says so itself.
      return left?.();
    }
    this.#given += heads.length + (beside?.length ?? 0);
    if (left !== undefined) this.#leaving.push({ until: this.#given, left });
  }

  /** Nothing more is sent. Safe to call twice. */
  close(): void {
    this.#porters.porterClose(this.#handle);
    this.#pending = 0;
    for (const { left } of this.#leaving.splice(0)) left();
  }

  #told(error: number, left: number): void {
    if (error !== 0) return this.#departure.failed(failureFrom(error));
    // What was given since it was told is on its way to it.
    this.#pending = left;
    while (this.#leaving.length > 0 && this.#leaving[0].until <= this.#given - left) this.#leaving.shift()?.left();
    this.#departure.drained();
  }
}
