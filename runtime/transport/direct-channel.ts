// Direct connections between machines: plain TCP, for chunks of objects, whose bytes go from the store of one node to the
// store of the other without a copy in this process.
//
// They come to the port that gRPC is served at, and say so with their first byte. The hello follows, with the token, and nothing
// else is taken before it. A direct connection is not resumed: its channel ends with it.

import net from "node:net";
import type { Porters } from "../../native/index.ts";
import { ConnectionError, failureOf } from "../errors.ts";
import type { Clock } from "../seams.ts";
import { addressOf, type Place as Where, refuseExposure } from "./address.ts";
import type { Carrier, Place, Receiver } from "./carrier.ts";
import { DirectReader, HEAD_BYTES } from "./direct-reader.ts";
import { FRAME_MAX, PREFIX, tooLong } from "./frame.ts";
import { HELLO_WITHIN_MS } from "./hello.ts";
import type { Failure } from "./messages.ts";
import { CARRIED_FROM, ReceivingPorter, SendingPorter } from "./porters.ts";
import { boundEnd, connectedWithin } from "./socket-ends.ts";

/** A control character, which no other protocol at this port begins with: HTTP/2 begins with a P, TLS with 0x16. */
const DIRECT = 0x01;
const HTTP2 = "P".charCodeAt(0);
/** An idle connection is probed after this; ten seconds later a dead peer is noticed. */
const KEEPALIVE_MS = 5_000;
const NOTHING_BESIDE = Buffer.alloc(HEAD_BYTES - PREFIX);

export interface DirectOptions {
  readonly clock: Clock;
  /** True: plain text beyond this machine is the caller's explicit wish. */
  readonly trustedNetwork?: boolean;
  /** Carry large bytes. Absent: the loop does. */
  readonly porters?: Porters | undefined;
}

export class DirectCarrier implements Carrier {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = 0;
  readonly #clock: Clock;
  readonly #porters: Porters | undefined;
  readonly #reader: DirectReader;
  /** Of bytes that may not change yet. */
  readonly #leaving = new Set<() => void>();
  #socket!: net.Socket;
  #receiving: ReceivingPorter | undefined;
  #sending: SendingPorter | undefined;
  #ended = false;
  #isEnding = false;
  #failure: Failure | undefined;

  constructor({ clock, porters }: DirectOptions) {
    this.#clock = clock;
    this.#porters = porters;
    this.#reader = new DirectReader({
      frameMax: () => this.frameMax,
      frame: (bytes, start, end, owned) => this.receiver.frame(bytes, start, end, owned),
      beside: (bytes, start, end, length) => this.#beside(bytes, start, end, length),
      arrived: (place) => this.receiver.arrived?.(place),
      tooLong: (length) => this.#finish(tooLong(length, this.frameMax)),
    });
  }

  /** For who dials. */
  readonly onread = {
    buffer: (): Uint8Array => this.#reader.room(),
    callback: (length: number): boolean => {
      this.#reader.took(length);
      this.#turn();
      return !this.#isCarriedOn();
    },
  };

  get pendingBytes(): number {
    return this.#socket.writableLength + (this.#sending?.pendingBytes ?? 0);
  }

  attach(socket: net.Socket): void {
    this.#socket = socket;
    socket.unref();
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEPALIVE_MS);
    socket.on("error", (error) => {
      this.#failure ??= failureOf(new ConnectionError(`the connection failed: ${error.message}`, {}, error));
    });
    socket.on("drain", () => this.receiver.drained());
    socket.on("end", () => this.#finish(undefined));
    socket.on("close", () => {
      this.#finish(this.#failure);
      for (const left of [...this.#leaving]) left();
    });
  }

  /** For who listens: it is sent nothing large. */
  read(bytes: Buffer): void {
    if (this.#ended) return;
    this.#reader.read(bytes, bytes.length);
    this.#turn();
  }

  write(bytes: Buffer, length: number): boolean {
    if (this.#ended) return false;
    const socket = this.#socket;
    const frame = bytes.subarray(0, length);
    if (this.#sending !== undefined && this.#sending.pendingBytes > 0) {
      this.#sending.send(Buffer.concat([NOTHING_BESIDE, frame]));
      return false;
    }
    socket.cork();
    socket.write(NOTHING_BESIDE);
    socket.write(frame);
    socket.uncork();
    return socket.writableLength > 0;
  }

  writeBeside(bytes: Buffer, length: number, beside: Uint8Array, left: () => void): boolean {
    if (this.#ended) {
      left();
      return false;
    }
    const socket = this.#socket;
    const head = Buffer.allocUnsafe(HEAD_BYTES - PREFIX);
    head.writeUInt32LE(beside.length, 0);
    const frame = bytes.subarray(0, length);
    const porter = this.#senderOf(beside.length);
    if (porter !== undefined) {
      porter.send(Buffer.concat([head, frame]), beside, left);
      return false;
    }
    const once = (): void => void (this.#leaving.delete(once) && left());
    this.#leaving.add(once);
    socket.cork();
    socket.write(head);
    socket.write(frame);
    socket.write(beside, once);
    socket.uncork();
    return socket.writableLength > 0;
  }

  flush(): void {}

  hold(alive: boolean): void {
    if (alive) this.#socket.ref();
    else this.#socket.unref();
  }

  end(): void {
    if (this.#ended) return;
    // What still comes is dropped: closing with unread bytes would break the other side before it has read the goodbye.
    this.#ended = true;
    this.#isEnding = true;
    boundEnd(this.#socket, this.#clock, this.pendingBytes > 0);
    this.#hasLeft();
  }

  destroy(failure: Failure | undefined): void {
    this.#finish(failure);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #beside(bytes: Buffer, start: number, end: number, length: number): Place | undefined {
    if (this.receiver.beside !== undefined) return this.receiver.beside(bytes, start, end, length);
    this.#finish(failureOf(new ConnectionError(`${length} bytes came beside a frame, and nobody takes them`)));
    return undefined;
  }

  /** True: a porter reads the rest of what is arriving, and the socket rests. */
  #isCarriedOn(): boolean {
    if (this.#porters === undefined || this.#ended || this.#reader.missing < CARRIED_FROM) return false;
    this.#receiving ??= ReceivingPorter.of(this.#porters, this.#socket, {
      progress: () => this.#turn(),
      arrived: (sum) => {
        this.#reader.filled(sum);
        this.#turn();
        this.#socket.resume();
      },
      ended: (failure) => this.#finish(failure),
    });
    if (this.#receiving === undefined) return false;
    const { bytes, have } = this.#reader.lend();
    this.#receiving.receive(bytes, have);
    return true;
  }

  /** Undefined: the socket sends it. What it has taken before goes first, and so does what a porter has. */
  #senderOf(length: number): SendingPorter | undefined {
    if (this.#sending !== undefined && this.#sending.pendingBytes > 0) return this.#sending;
    if (this.#porters === undefined || length < CARRIED_FROM || this.#socket.writableLength > 0) return undefined;
    this.#sending ??= SendingPorter.of(this.#porters, this.#socket, {
      drained: () => {
        this.#hasLeft();
        this.receiver.drained();
      },
      failed: (failure) => this.#finish(failure),
    });
    return this.#sending;
  }

  /** Ends the socket in order, once a porter has sent what it has. */
  #hasLeft(): void {
    if (this.#isEnding && (this.#sending?.pendingBytes ?? 0) === 0) this.#socket.end();
  }

  #turn(): void {
    if (!this.#ended) this.receiver.turn();
  }

  #finish(failure: Failure | undefined): void {
    // From here on nothing is read, and what was lent to be read into is free.
    this.#receiving?.close();
    this.#sending?.close();
    this.#socket.destroy();
    this.#reader.end();
    if (this.#ended) return;
    this.#ended = true;
    this.receiver.ended(failure);
  }
}

/** Connects. The hello is the caller's, in `connected`, at once. */
export function connectDirect(
  where: Where & { readonly kind: "tcp" }, timeoutMs: number, options: DirectOptions, connected: (carrier: Carrier) => void,
): Promise<void> {
  refuseExposure(where, options.trustedNetwork, "Dialling");
  const { host, port } = where;
  const carrier = new DirectCarrier(options);
  const socket = net.connect({ host, port, onread: carrier.onread });
  return connectedWithin(timeoutMs, options.clock, socket, addressOf(where), () => {
    carrier.attach(socket);
    socket.write(Buffer.of(DIRECT));
    connected(carrier);
    return undefined;
  });
}

/** Tells by the first byte what a connection is for. Who says nothing in time, or anything else, is cut. */
export function sortConnection(
  socket: net.Socket, clock: Clock, { grpc, direct }: Record<"grpc" | "direct", (socket: net.Socket) => void>,
): void {
  const timer = clock.after(HELLO_WITHIN_MS, () => socket.destroy());
  socket.once("close", () => timer.cancel());
  const look = (): void => {
    const said = socket.read() as Buffer | null;
    if (said === null) return;
    socket.removeListener("readable", look);
    timer.cancel();
    const [first] = said;
    if (first !== DIRECT && first !== HTTP2) return void socket.destroy();
    const rest = first === DIRECT ? said.subarray(1) : said;
    if (rest.length > 0) socket.unshift(rest);
    if (first === DIRECT) direct(socket);
    else grpc(socket);
  };
  socket.on("readable", look);
}

/** Over a connection that was sorted out as a direct one. The hello is answered by the caller. */
export function acceptDirect(
  socket: net.Socket, options: DirectOptions,
): { readonly carrier: Carrier; readonly begin: () => void } {
  const carrier = new DirectCarrier(options);
  carrier.attach(socket);
  return {
    carrier,
    begin: () => {
      socket.on("data", (bytes: Buffer) => carrier.read(bytes));
      socket.resume();
    },
  };
}
