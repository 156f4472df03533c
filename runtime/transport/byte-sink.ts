// Where the bytes of a socket channel go: through net.Socket, or through the addon's outbox when there is one.

import type { Socket } from "node:net";

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
