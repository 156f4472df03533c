// Where the bytes of a socket channel go: through net.Socket, or through the addon's outbox when there is one.

import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import type { Native, OutboxHandle } from "../../native/index.ts";
import type { Clock, Timer } from "../seams.ts";

export interface ByteSink {
  /** True: bytes written without `flushNow` leave by themselves, also while the loop is blocked. */
  readonly late: boolean;
  /** Bytes accepted and not yet taken by the operating system. */
  readonly pendingBytes: number;
  /**
   * Takes bytes[offset, offset + length). Returns true when it keeps `bytes` until they have left: the caller must not write
   * into them again.
   */
  write(bytes: Buffer, offset: number, length: number, flushNow: boolean): boolean;
  flush(): void;
  /** Closes the writing half once everything has left. */
  end(): void;
  /** Frees what it holds. Idempotent. */
  close(): void;
}

/** Node writes synchronously while the socket takes it, so the buffer is free again unless bytes are pending afterwards. */
export class SocketSink implements ByteSink {
  readonly late = false;
  readonly #socket: Socket;

  constructor(socket: Socket, drained: () => void) {
    this.#socket = socket;
    socket.on("drain", drained);
  }

  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  write(bytes: Buffer, offset: number, length: number): boolean {
    const whole = offset === 0 && length === bytes.length ? bytes : bytes.subarray(offset, offset + length);
    this.#socket.write(whole);
    return this.#socket.writableLength > 0;
  }

  flush(): void {}

  end(): void {
    this.#socket.end();
  }

  close(): void {}
}

const DRAIN_POLL_MS = 1;
/** Whoever saw more than this pending may wait to be told that it has left. */
const HIGH_BYTES = 16 * 1024;

/** Copies into memory that the addon's thread sends from: bytes leave within a millisecond also while the loop is blocked. */
export class OutboxSink implements ByteSink {
  readonly late = true;
  readonly #native: Native;
  readonly #socket: Socket;
  readonly #drained: () => void;
  readonly #outbox: OutboxHandle;
  #pending = 0;
  #high = false;
  #ending = false;
  #closed = false;
  #timer: Timer | undefined;
  readonly #clock: Clock;

  constructor(native: Native, clock: Clock, socket: Socket, fd: number, drained: () => void) {
    this.#native = native;
    this.#clock = clock;
    this.#socket = socket;
    this.#drained = drained;
    this.#outbox = native.openOutbox(fd);
  }

  get pendingBytes(): number {
    if (this.#pending > 0 && !this.#closed) this.#now(this.#native.outboxPending(this.#outbox));
    return this.#pending;
  }

  write(bytes: Buffer, offset: number, length: number, flushNow: boolean): boolean {
    if (this.#closed) return false;
    this.#now(this.#native.outboxAppend(this.#outbox, bytes, offset, length, flushNow));
    if (flushNow) this.#awaitDrain();
    return false;
  }

  flush(): void {
    if (this.#closed || this.#pending === 0) return;
    this.#now(this.#native.outboxFlush(this.#outbox));
    this.#awaitDrain();
  }

  end(): void {
    this.#ending = true;
    // From here on the loop stays until the last byte has left, or the carrier loses patience and closes.
    this.#timer?.cancel();
    this.#timer = undefined;
    this.flush();
    if (this.#pending === 0) this.#socket.end();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#pending = 0;
    this.#timer?.cancel();
    this.#native.outboxClose(this.#outbox);
  }

  /** Takes what a call of the addon answered: bytes that are pending, or how the socket failed. */
  #now(answer: number): void {
    this.#pending = Math.max(answer, 0);
    if (answer < 0) this.#socket.destroy(new Error(`a write failed with ${getSystemErrorName(answer)}`));
    else if (answer > HIGH_BYTES) this.#high = true;
  }

  /** The addon's thread goes on sending what the operating system did not take; this finds out when that is done. */
  #awaitDrain(): void {
    if (this.#pending === 0 && !this.#high) return;
    if (this.#timer !== undefined) return;
    const look = () => {
      this.#timer = undefined;
      if (!this.#closed) this.#look();
    };
    this.#timer = this.#clock.after(DRAIN_POLL_MS, look, this.#ending);
  }

  #look(): void {
    this.#now(this.#native.outboxPending(this.#outbox));
    if (this.#pending > 0) return this.#awaitDrain();
    if (this.#ending) this.#socket.end();
    else if (this.#high) {
      this.#high = false;
      this.#drained();
    }
  }
}
