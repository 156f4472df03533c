// The one Channel: batching, dispatch and the end, over any carrier.
//
// Invariants: onClose runs exactly once and nothing is delivered after it; messages keep their order; a body is encoded when
// it is sent, so the sender may change it afterwards. The batch belongs to the channel until it is written.

import { ConnectionError, failureOf, InvalidArgumentError } from "../errors.ts";
import { FRAME_MAX, FrameWriter, brokenBy, readFrame, type FrameVisitor } from "./frame.ts";
import type { Carrier, Place, Receiver } from "./carrier.ts";
import type { Channel, ChannelHandler, Peer } from "./channel.ts";
import type { Answer, Failure, MessageName, MessageOf, SendOf } from "./messages.ts";

/** So many messages of a turn leave at once: a lone call must not wait for the turn's end. */
const WRITTEN_THROUGH = 4;
/** A batch this large leaves before the turn ends. */
const BATCH_BYTES = 32 * 1024;
/** A peer that lets this much pile up is beyond help: the channel breaks instead of exhausting the process. */
const BUFFERED_MAX = 1024 * 1024 * 1024;
/** Senders that watched `bufferedBytes` are called back once it has fallen from above the first to below the second. */
const BRAKE_FROM = 1024 * 1024;
const BRAKE_UNTIL = 256 * 1024;
/** Shorter bytes are encoded like the rest of their message. */
const BESIDE_FROM = 16 * 1024;
/** Longer ones are no chunk of an object. */
const BESIDE_MAX = 64 * 1024 * 1024;
const NO_BYTES = new Uint8Array(0);

export function describePeer(peer: Peer): string {
  return `${peer.kind} ${peer.processId || "?"}${peer.pid > 0 ? ` (pid ${peer.pid})` : ""}`;
}

export class FrameChannel implements Channel, Receiver, FrameVisitor {
  #peer: Peer;
  #handler: ChannelHandler;
  #carrier: Carrier;
  readonly #writer = new FrameWriter();
  #state: "open" | "closing" | "closed" = "open";
  /** Set once the end is decided; what onClose will say. */
  #failure: Failure | undefined;
  #sentThisTurn = 0;
  #bytesThisTurn = 0;
  #turnScheduled = false;
  #braking = false;
  /** What the bytes belong to that are arriving beside it. */
  #accompanied: Answer | undefined;
  /** For whoever keeps a list of its channels: it ended, or its carrier was released. */
  gone: (() => void) | undefined;

  constructor(carrier: Carrier, peer: Peer, handler: ChannelHandler) {
    this.#carrier = carrier;
    this.#peer = peer;
    this.#handler = handler;
    carrier.receiver = this;
  }

  get peer(): Peer {
    return this.#peer;
  }
  get open(): boolean {
    return this.#state === "open";
  }
  get bufferedBytes(): number {
    return this.#writer.length + this.#carrier.pendingBytes;
  }

  /** The hello is over: from now on it is that peer's channel and this handler's. `gate` comes between it and its carrier. */
  become(peer: Peer, handler: ChannelHandler, gate?: (carrier: Carrier) => Carrier): void {
    this.#peer = peer;
    this.#handler = handler;
    this.#carrier.frameMax = FRAME_MAX;
    if (gate === undefined) return;
    this.#carrier = gate(this.#carrier);
    this.#carrier.receiver = this;
  }

  /** The carrier goes to somebody else: nothing of it is reported here any more. Neither onClose. */
  release(): Carrier {
    this.flush();
    this.#state = "closed";
    this.gone?.();
    return this.#carrier;
  }

  send<N extends MessageName>(name: N, body: SendOf<N>, left?: () => void): void {
    if (this.#state !== "open") return left?.();
    if (left !== undefined) {
      const { chunk } = body as SendOf<"answer">;
      const isBeside = this.#carrier.writeBeside !== undefined && name === "answer" && (chunk?.bytes?.length ?? 0) >= BESIDE_FROM;
      if (isBeside) return this.#sendBeside(body as SendOf<"answer">, chunk?.bytes as Uint8Array, left);
      try {
        this.send(name, body);
      } finally {
        left();
      }
      return;
    }
    const writer = this.#writer;
    if (writer.length === 0) writer.start(this.#carrier.header?.());
    try {
      writer.add(name, body, this.#carrier.overhead);
    } catch (error) {
      if (writer.empty) writer.clear(false);
      throw new InvalidArgumentError(`Message ${name} cannot be sent: ${(error as Error).message}`, {}, error);
    }
    this.#sentThisTurn++;
    if (!this.#turnScheduled) this.#awaitTurnEnd();
    if (this.#sentThisTurn <= WRITTEN_THROUGH) this.#write(true);
    else if (this.#carrier.late) this.#writeLate();
    else if (writer.length >= BATCH_BYTES) this.#write(true);
  }

  flush(): void {
    if (this.#state !== "open") return;
    if (this.#writer.length > 0) this.#write(true);
    else if (this.#bytesThisTurn > 0) this.#flushLate();
  }

  hold(alive: boolean): void {
    if (this.#state === "open") this.#carrier.hold(alive);
  }

  close(reason = ""): void {
    if (this.#state !== "open") return;
    this.send("goodbye", { reason });
    this.flush();
    // Writing may have broken it.
    if (this.#state !== "open") return;
    this.#conclude(undefined);
    this.#carrier.end();
  }

  break(failure: Failure): void {
    if (this.#state !== "open") return;
    this.#conclude(failure);
    this.#carrier.destroy(failure);
  }

  // -- what the carrier says ---------------------------------------------------------------------------------------------

  frame(bytes: Buffer, start: number, end: number, owned: boolean): void {
    if (this.#state !== "open") return;
    try {
      readFrame(bytes, start, end, owned, this);
    } catch (error) {
      this.break(brokenBy(error, describePeer(this.#peer)));
    }
  }

  beside(bytes: Buffer, start: number, end: number, length: number): Place | undefined {
    if (this.#state !== "open") return undefined;
    try {
      const answer = (this.#accompanied = answerIn(bytes, start, end));
      if (answer?.chunk === undefined || this.#handler.place === undefined || length > BESIDE_MAX) {
        throw new ConnectionError(`nobody here takes ${length} bytes beside a message`);
      }
      return this.#handler.place(answer, length, this) ?? { bytes: Buffer.allocUnsafeSlow(length), ended: () => {} };
    } catch (error) {
      this.break(brokenBy(error, describePeer(this.#peer)));
      return undefined;
    }
  }

  arrived({ bytes }: Place): void {
    const answer = this.#accompanied as Answer;
    this.#accompanied = undefined;
    if (this.#state !== "open") return;
    try {
      this.message("answer", Object.assign(answer, { chunk: Object.assign(answer.chunk as object, { bytes }) }));
    } catch (error) {
      this.break(brokenBy(error, describePeer(this.#peer)));
    }
  }

  turn(): void {
    if (this.#state === "open") this.#handler.onTurn?.(this);
  }

  drained(): void {
    if (!this.#braking || this.#state !== "open" || this.bufferedBytes > BRAKE_UNTIL) return;
    this.#braking = false;
    this.#handler.onDrain?.(this);
  }

  ended(failure: Failure | undefined): void {
    if (this.#state !== "open") return;
    const text = `${describePeer(this.#peer)} ended the connection without a goodbye`;
    this.#failure = failure ?? failureOf(new ConnectionError(text));
    this.#finish();
  }

  // -- what the walk over a frame says -----------------------------------------------------------------------------------

  message<N extends MessageName>(name: N, body: MessageOf<N>): boolean {
    if (this.#state !== "open") return false;
    const handle = this.#handler.messages[name] as ((body: MessageOf<N>, channel: Channel) => void) | undefined;
    if (handle !== undefined) handle(body, this);
    else if (name === "goodbye") this.#goodbye();
    else if (name === "ping") this.send("pong", { nonce: (body as MessageOf<"ping">).nonce });
    else throw new ConnectionError(`nobody here takes the message ${name}`);
    return this.#state === "open";
  }

  // -- inside ------------------------------------------------------------------------------------------------------------

  #goodbye(): void {
    this.flush();
    if (this.#state !== "open") return;
    this.#conclude(undefined);
    this.#carrier.end();
  }

  #awaitTurnEnd(): void {
    this.#turnScheduled = true;
    process.nextTick(() => {
      this.#turnScheduled = false;
      this.#sentThisTurn = 0;
      this.flush();
    });
  }

  #write(now: boolean): void {
    const writer = this.#writer;
    writer.finish();
    const length = writer.length;
    const taken = this.#carrier.write(writer.bytes, length, now);
    writer.clear(taken);
    if (now) this.#bytesThisTurn = 0;
    this.#brake();
  }

  #sendBeside(answer: SendOf<"answer">, beside: Uint8Array, left: () => void): void {
    this.flush();
    if (this.#state !== "open") return left();
    const writer = this.#writer;
    writer.start(this.#carrier.header?.());
    writer.add("answer", { ...answer, chunk: { ...answer.chunk, bytes: NO_BYTES } }, this.#carrier.overhead);
    writer.finish();
    const taken = this.#carrier.writeBeside?.(writer.bytes, writer.length, beside, left) ?? false;
    writer.clear(taken);
    this.#brake();
  }

  #brake(): void {
    const pending = this.#carrier.pendingBytes;
    if (pending <= BRAKE_FROM) return;
    this.#braking = true;
    if (pending <= BUFFERED_MAX) return;
    this.break(failureOf(new ConnectionError(`${describePeer(this.#peer)} has not taken ${pending} bytes sent to it`)));
  }

  /** The carrier sees to it that the bytes leave. */
  #writeLate(): void {
    this.#bytesThisTurn += this.#writer.length;
    if (this.#bytesThisTurn >= BATCH_BYTES) this.#write(true);
    else this.#write(false);
  }

  #flushLate(): void {
    this.#bytesThisTurn = 0;
    this.#carrier.flush();
  }

  /** The end is decided. It is said after the present call stack, which may be the sender's. */
  #conclude(failure: Failure | undefined): void {
    this.#state = "closing";
    this.#failure = failure;
    process.nextTick(() => this.#finish());
  }

  #finish(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.gone?.();
    this.#handler.onClose(this, this.#failure);
  }
}

/** The answer that a frame begins with. */
function answerIn(bytes: Buffer, start: number, end: number): Answer | undefined {
  let answer: Answer | undefined;
  readFrame(bytes, start, end, false, {
    message: (name, body) => {
      if (name === "answer") answer = body as unknown as Answer;
      return false;
    },
  });
  return answer;
}
