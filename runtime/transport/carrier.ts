// What moves frames for a channel: a socket, a gRPC stream, memory, a relay, or a link that outlives several of them.
//
// A carrier knows nothing of messages. It keeps frames in order, copies or keeps what it is given, and reports its end once.

import type { Failure } from "./messages.ts";
import type { FrameHeader } from "./frame.ts";

/** Where bytes that come beside a frame are put. */
export interface Place {
  readonly bytes: Uint8Array;
  /** Their CRC-32, if it was taken while they came; before they are said to have arrived. */
  summed?(sum: number): void;
  /** Nothing is written there any more. Exactly once. */
  ended(): void;
}

/** Whoever a carrier delivers to: a channel, or a link. */
export interface Receiver {
  /** One frame in bytes[start, end). `owned`: nobody writes into `bytes` again. Must not throw. */
  frame(bytes: Buffer, start: number, end: number, owned: boolean): void;
  /** The same for a frame that `length` bytes follow: where they go. Undefined: nowhere, and the carrier is over. */
  beside?(bytes: Buffer, start: number, end: number, length: number): Place | undefined;
  /** They are all in that place. */
  arrived?(place: Place): void;
  /** All frames that arrived together have been delivered. */
  turn(): void;
  /** Fewer bytes wait than before. */
  drained(): void;
  /** Exactly once, and nothing after it. Undefined: the other side ended in order. */
  ended(failure: Failure | undefined): void;
}

export interface Carrier {
  /** Where frames go. Set at once after the carrier was made, and again when it changes hands. */
  receiver: Receiver;
  /** Longest frame taken from the other side; larger ones end the carrier. */
  frameMax: number;
  /** Bytes it wraps around a frame at most: so much shorter is the longest message. */
  readonly overhead: number;
  /** Bytes accepted and not yet passed on. */
  readonly pendingBytes: number;
  /**
   * True: bytes written without `now` leave by themselves, also while this thread's loop is blocked. The channel then hands
   * over each message at once instead of keeping a batch.
   */
  readonly late: boolean;
  /** What a resumable link writes in front of the next frame. */
  header?(): FrameHeader;
  /**
   * Takes the frame in bytes[0, length), its prefix included. Returns true when it keeps `bytes` itself: the caller must
   * not write into them again. `now` false: more follows in this turn.
   */
  write(bytes: Buffer, length: number, now: boolean): boolean;
  /**
   * Where it is there, bytes can travel beside a frame: they are neither encoded nor copied, and may change when `left` has
   * been called, once. Else like `write` with `now`.
   */
  writeBeside?(bytes: Buffer, length: number, beside: Uint8Array, left: () => void): boolean;
  /** Sends what was written without `now`. */
  flush(): void;
  hold(alive: boolean): void;
  /** Ends in order once everything written has left; within a bound by force. `ended` follows. */
  end(): void;
  /** Ends at once. `ended` follows with that failure. */
  destroy(failure: Failure | undefined): void;
}
