// The contract of Troupe's own value format: versioned, tagged, with out-of-band buffers. See format.ts for the bytes.
//
// One encoded value is one block of bytes: a header, the in-band structure, then each out-of-band buffer at a 64-byte boundary.
// The layout is known before a byte is written, so a large value is written straight into the object store.

import type { BlockSource } from "./large-block.ts";

/** What the encoder meets and the process around it must know: refs, handles and functions are the shell's business. */
export interface EncodeHooks {
  /** An ObjectRef inside the value: returns the bytes that stand for it. */
  ref(ref: object): Uint8Array;
  handle(handle: object): Uint8Array;
  /** A function or class (also the class of an instance): returns the id of its captured code. Throws CaptureError. */
  code(fn: Function): Uint8Array;
}
export interface DecodeHooks {
  ref(bytes: Uint8Array): object;
  handle(bytes: Uint8Array): object;
  code(bytes: Uint8Array): Function;
}

/** An encoding that is planned and not yet written. */
export interface Encoded {
  /** Bytes of the whole block. */
  readonly size: number;
  /** Bytes of typed arrays, buffers and Arrow data that are written out of band. */
  readonly outOfBandBytes: number;
  /** Copies the block to `target`, which has at least `size` bytes. */
  writeTo(target: Uint8Array): void;
  /** The block in fresh memory. */
  toBytes(): Uint8Array;
  /** The pieces of the block in order, with their offsets: for writers that copy large parts off the loop. */
  parts(): Iterable<{ readonly offset: number; readonly bytes: Uint8Array }>;
}

export interface ValueCodec {
  /** Throws SerializationError with the path to the value that cannot travel. `root` names the value in that path (`args`). */
  encode(value: unknown, hooks: EncodeHooks, root?: string): Encoded;
  /**
   * Hot path for small values: writes at `offset` of `target` and returns the end, or -1 when it does not fit, needs buffers or
   * cannot travel: then `encode` says more. `isOwn`: `value` is an array the caller just made (arguments), so it need not be
   * searched for properties beside its elements.
   */
  encodeSmall(value: unknown, target: Uint8Array, offset: number, hooks: EncodeHooks, isOwn?: boolean): number;
  /**
   * `block` is exactly one block. Buffers of 64 KiB and more become views of its memory; smaller ones are copied. Throws
   * SerializationError on bad bytes, and passes on the TroupeErrors of hooks.
   */
  decode(block: Uint8Array, hooks: DecodeHooks): unknown;
  /** The same for a block that is too large for one array. Its buffers are parts of it. */
  decodeParts(source: BlockSource, hooks: DecodeHooks): unknown;
}
