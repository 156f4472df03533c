// A connection to the inspector of a process of this machine: the little of the WebSocket protocol that it takes.

import { connect, type Socket } from "node:net";
import { ConnectionError } from "../../errors.ts";
import type { Clock, Random } from "../../seams.ts";

const OPEN_TIMEOUT_MS = 2000;
const ANSWER_TIMEOUT_MS = 2000;
const TEXT = 1;
const CONTINUATION = 0;
const KEY_BYTES = 16;
/** A stack is some kilobytes. */
const MESSAGE_MAX = 16 * 1024 * 1024;

interface Told {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
  readonly method?: string;
  readonly params?: unknown;
}

export class DebugSocket {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, (told: Told) => void>();
  readonly #events = new Map<string, (params: unknown) => void>();
  #received = Buffer.alloc(0);
  #message = "";
  #next = 1;
  #opened: (() => void) | undefined;

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
    socket.on("close", () => this.#closed());
    // What broke it is told by the end: whoever waits is told that.
    socket.on("error", () => {});
  }

  /** `url`: as the process wrote it, `ws://127.0.0.1:PORT/ID`. */
  static async open(url: string, { clock, random }: { readonly clock: Clock; readonly random: Random }): Promise<DebugSocket> {
    const { hostname, port, pathname } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port) });
    const opened = new DebugSocket(socket, clock);
    const key = Buffer.from(random.hex(KEY_BYTES), "hex").toString("base64");
    socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    const isOpen = await opened.within(OPEN_TIMEOUT_MS, (resolve) => (opened.#opened = () => resolve(true)));
    if (isOpen === undefined) {
      socket.destroy();
      throw new ConnectionError(`the inspector at ${hostname}:${port} did not answer`);
    }
    return opened;
  }

  /** What a command gives; undefined when it fails or takes too long. */
  async ask(method: string, params: object = {}, timeoutMs = ANSWER_TIMEOUT_MS): Promise<unknown> {
    const id = this.#next++;
    const told = await this.within<Told>(timeoutMs, (resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.write(frameOf(JSON.stringify({ id, method, params })));
    });
    this.#waiting.delete(id);
    return told?.error === undefined ? told?.result : undefined;
  }

  /** Events of that name go to `handle` from now on. */
  on(event: string, handle: (params: unknown) => void): void {
    this.#events.set(event, handle);
  }

  /** What `start` resolves with; undefined when that takes too long. */
  within<T>(ms: number, start: (resolve: (value: T | undefined) => void) => void): Promise<T | undefined> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(ms, () => resolve(undefined));
      start((value) => {
        timer.cancel();
        resolve(value);
      });
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #take(bytes: Buffer): void {
    this.#received = Buffer.concat([this.#received, bytes]);
    if (this.#received.length > MESSAGE_MAX) return this.close();
    if (this.#opened !== undefined && !this.#readGreeting()) return;
    for (let frame = readFrame(this.#received); frame !== undefined; frame = readFrame(this.#received)) {
      this.#received = this.#received.subarray(frame.end);
      if (frame.kind !== TEXT && frame.kind !== CONTINUATION) continue;
      this.#message += frame.text;
      if (!frame.isLast) continue;
      const told = JSON.parse(this.#message) as Told;
      this.#message = "";
      this.#told(told);
    }
  }

  /** True once it has ended. */
  #readGreeting(): boolean {
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const isOpen = this.#received.toString("latin1", 0, end).startsWith("HTTP/1.1 101");
    this.#received = this.#received.subarray(end + 4);
    if (isOpen) this.#opened?.();
    this.#opened = undefined;
    return isOpen;
  }

  #told(told: Told): void {
    if (told.id !== undefined) this.#waiting.get(told.id)?.(told);
    else if (told.method !== undefined) this.#events.get(told.method)?.(told.params);
  }

  #closed(): void {
    for (const resolve of this.#waiting.values()) resolve({ error: { message: "the connection ended" } });
  }
}

/** A text in one frame, masked with zeros: the mask is for proxies, and there is none. */
function frameOf(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = bytes.length < 126 ? Buffer.from([0x81, 0x80 | bytes.length]) : Buffer.from([0x81, 0xfe, 0, 0]);
  if (head.length === 4) head.writeUInt16BE(bytes.length, 2);
  return Buffer.concat([head, Buffer.alloc(4), bytes]);
}

interface FrameRead {
  readonly kind: number;
  readonly isLast: boolean;
  readonly text: string;
  readonly end: number;
}

/** The first frame, once it is there as a whole. */
function readFrame(bytes: Buffer): FrameRead | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes[1] & 0x7f;
  const start = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < start) return undefined;
  const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  if (bytes.length < start + length) return undefined;
  return {
    kind: bytes[0] & 0x0f, isLast: (bytes[0] & 0x80) !== 0, text: bytes.toString("utf8", start, start + length),
    end: start + length,
  };
}
