// A link: a channel between machines that outlives its connections.
//
// Frames are numbered and kept until the other side has confirmed them. When a connection breaks, the dialler makes another one,
// both say what they have received, and the rest is sent again; repeats are passed over. The channel above notices nothing but
// time. It ends when no connection could be made within `loseAfterMs`, when the other side does not know the session any
// more (it was restarted), or with a goodbye.

import { ConnectionError, failureOf, type TroupeError } from "../errors.ts";
import type { Clock, Random, Timer } from "../seams.ts";
import type { Carrier, Receiver } from "./carrier.ts";
import { FRAME_MAX, type FrameHeader, FrameWriter, readHeader } from "./frame.ts";
import { isRefusal, type SessionHello } from "./hello.ts";
import { Hold } from "./hold.ts";
import type { Failure } from "./messages.ts";
import { ReceiveWindow, SendWindow } from "./window.ts";

/** A confirmation that finds no frame to travel in leaves by itself after so long, so many frames or so many bytes. */
const CONFIRM_AFTER_MS = 50;
const CONFIRM_FRAMES = 64;
const CONFIRM_BYTES = 512 * 1024;
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 2_000;
/** After the goodbye: how long the other side may take to confirm it. */
const END_WITHIN_MS = 2_000;
/** Frames from here on are kept as they are instead of copied. */
const KEEP_FROM = 16 * 1024;

export interface LinkOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly epoch: number;
  /** How long a link lives without a connection. */
  readonly loseAfterMs: number;
  /** Whom it leads to, for messages to people. */
  readonly target: string;
  /**
   * Makes another connection and says hello with that session; who dialled has it. It calls `attach` in the same turn as the
   * welcome arrives, or rejects within `timeoutMs`.
   */
  readonly reconnect?: (session: SessionHello, timeoutMs: number) => Promise<void>;
  /** A connection broke, and another is sought. */
  readonly broken?: () => void;
  /** The session is over: forget it. */
  readonly gone?: () => void;
}

export class Link implements Carrier, Receiver {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = 0;
  readonly #options: LinkOptions;
  readonly #sent = new SendWindow();
  readonly #arrived = new ReceiveWindow();
  readonly #confirmation = new FrameWriter();
  readonly #hold: Hold;
  #connection: Carrier | undefined;
  #state: "open" | "ending" | "over" = "open";
  #lossTimer: Timer | undefined;
  #confirmTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #attempts = 0;
  #lastError = "";

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#hold = new Hold(options.clock);
  }

  get pendingBytes(): number {
    return this.#sent.bytes;
  }
  /** Highest frame received in order. */
  get received(): number {
    return this.#arrived.received;
  }

  // -- the carrier's face ------------------------------------------------------------------------------------------------

  header(): FrameHeader {
    return { epoch: this.#options.epoch, seq: this.#sent.next, ack: this.#arrived.received };
  }

  write(bytes: Buffer, length: number, now: boolean): boolean {
    if (this.#state !== "open") return false;
    const kept = length >= KEEP_FROM;
    const frame = kept ? bytes.subarray(0, length) : Buffer.from(bytes.subarray(0, length));
    this.#sent.keep(frame);
    this.#arrived.tell();
    this.#connection?.write(frame, length, now);
    return kept;
  }

  flush(): void {
    this.#connection?.flush();
  }

  hold(alive: boolean): void {
    if (this.#state === "open") this.#hold.set(alive);
  }

  end(): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#confirm();
    if (this.#sent.bytes === 0) return this.#over();
    // The goodbye was the last frame; it is on its way, or will be sent again, until it is confirmed or time is up.
    this.#hold.set(true);
    this.#lossTimer?.cancel();
    this.#lossTimer = this.#options.clock.after(END_WITHIN_MS, () => this.#over());
  }

  destroy(failure: Failure | undefined): void {
    if (this.#state === "over") return;
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.destroy(failure);
    this.#finish(failure);
  }

  // -- the connection under it -------------------------------------------------------------------------------------------

  /** Goes on over a new connection. `received`: what the other side has received of this session. */
  attach(connection: Carrier, received: number): void {
    if (this.#state === "over") return connection.destroy(undefined);
    const old = this.#connection;
    // The other side knew before us that the old one is dead.
    this.#connection = undefined;
    old?.destroy(undefined);
    this.#retryTimer?.cancel();
    if (this.#state === "open") this.#lossTimer?.cancel();
    this.#attempts = 0;
    connection.receiver = this;
    connection.frameMax = FRAME_MAX;
    if (!this.#sent.confirm(received)) return this.#broken(connection, `it confirms frame ${received}, which was never sent`);
    this.#connection = connection;
    for (const frame of this.#sent.unconfirmed()) connection.write(frame, frame.length, true);
    if (this.#state === "ending" && this.#sent.bytes === 0) this.#over();
  }

  frame(bytes: Buffer, start: number, end: number, owned: boolean): void {
    let header: FrameHeader;
    try {
      header = readHeader(bytes, start, end);
    } catch (error) {
      const text = `${this.#options.target} sent a malformed frame: ${(error as Error).message}`;
      return this.destroy(failureOf(new ConnectionError(text)));
    }
    const connection = this.#connection;
    if (header.epoch !== this.#options.epoch) return this.#broken(connection, `a frame belongs to session ${header.epoch}`);
    if (!this.#sent.confirm(header.ack)) return this.#broken(connection, `it confirms frame ${header.ack}, which was never sent`);
    if (header.seq !== 0) {
      const arrival = this.#arrived.arrive(header.seq, end - start);
      if (arrival === "gap") return this.#reconnectAfterGap(header.seq);
      if (arrival === "next" && this.#state === "open") this.receiver.frame(bytes, start, end, owned);
    }
    if (this.#state === "ending" && this.#sent.bytes === 0) this.#over();
    else if (this.#state === "open") this.receiver.drained();
  }

  turn(): void {
    if (this.#state === "over") return;
    if (this.#arrived.untold >= CONFIRM_FRAMES || this.#arrived.untoldBytes >= CONFIRM_BYTES) this.#confirm();
    else if (this.#arrived.untold > 0) this.#confirmTimer ??= this.#options.clock.after(CONFIRM_AFTER_MS, () => this.#confirm());
    if (this.#state === "open") this.receiver.turn();
  }

  /** What the connection has passed on counts only once it is confirmed. */
  drained(): void {}

  ended(failure: Failure | undefined): void {
    if (this.#connection === undefined || this.#state === "over") return;
    this.#connection = undefined;
    this.#lastError = failure?.text ?? "the other side ended the connection";
    if (this.#state === "ending" && this.#sent.bytes === 0) return this.#over();
    this.#seekConnection();
  }

  // -- inside ------------------------------------------------------------------------------------------------------------

  #seekConnection(): void {
    const { clock, loseAfterMs, reconnect } = this.#options;
    if (this.#state === "open") {
      this.#lossTimer?.cancel();
      this.#lossTimer = clock.after(loseAfterMs, () => this.#lost());
    }
    if (reconnect !== undefined) this.#retry();
    this.#options.broken?.();
  }

  /** One attempt after a pause that doubles; the next follows when it fails. */
  #retry(): void {
    const { clock, random, epoch, loseAfterMs, reconnect } = this.#options;
    const pause = Math.min(BACK_OFF_MAX_MS, BACK_OFF_MS * 2 ** this.#attempts++) * (0.5 + random.next() / 2);
    this.#retryTimer = clock.after(pause, () => {
      const session: SessionHello = { epoch, received: this.#arrived.received, resumes: true };
      reconnect!(session, Math.min(loseAfterMs, 2 * BACK_OFF_MAX_MS)).catch((error: TroupeError) => {
        if (this.#state === "over" || this.#connection !== undefined) return;
        this.#lastError = error.message;
        if (isRefusal(error)) this.#finish(failureOf(error));
        else this.#retry();
      });
    });
  }

  #lost(): void {
    const { target, loseAfterMs } = this.#options;
    const text = `no connection to ${target} for ${loseAfterMs} ms; last: ${this.#lastError}`;
    this.#finish(failureOf(new ConnectionError(text, { loseAfterMs })));
  }

  /** Bytes were lost inside a connection: it is of no use, the session is. */
  #reconnectAfterGap(seq: number): void {
    const connection = this.#connection;
    const text = `frame ${seq} came after frame ${this.#arrived.received}`;
    connection?.destroy(failureOf(new ConnectionError(text)));
  }

  #broken(connection: Carrier | undefined, text: string): void {
    this.#connection = undefined;
    const failure = failureOf(new ConnectionError(`${this.#options.target} broke the session: ${text}`));
    connection?.destroy(failure);
    this.#finish(failure);
  }

  #confirm(): void {
    this.#confirmTimer?.cancel();
    this.#confirmTimer = undefined;
    const connection = this.#connection;
    if (connection === undefined || this.#arrived.untold === 0) return;
    const writer = this.#confirmation;
    writer.start({ epoch: this.#options.epoch, seq: 0, ack: this.#arrived.tell() });
    writer.finish();
    writer.clear(connection.write(writer.bytes, writer.length, true));
  }

  #over(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.end();
    this.#finish(undefined);
  }

  #finish(failure: Failure | undefined): void {
    if (this.#state === "over") return;
    const open = this.#state === "open";
    this.#state = "over";
    for (const timer of [this.#lossTimer, this.#confirmTimer, this.#retryTimer]) timer?.cancel();
    this.#hold.set(false);
    this.#options.gone?.();
    if (open) this.receiver.ended(failure);
  }
}
