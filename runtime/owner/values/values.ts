// Turns user values into wire Values and back: small ones inline, large ones through the node's object store.
//
// The only place where refs, actor handles and code inside values meet the codec; everything else moves Values undecoded.
// Encoding is synchronous and leaves two by-products for the caller: the refs inside (whose borrowers must be counted) and
// the code inside (which the reader revives before it decodes, because reviving imports modules).

import { errorOf, type FailureData, InvalidArgumentError, type TaskError } from "../../errors.ts";
import type { DecodeHooks, EncodeHooks, Encoded, ValueCodec } from "../../serialize/index.ts";
import { decodeThrown, mayBeViewed } from "../../serialize/index.ts";
import type { ObjectOwner, ReadableObject, WritableObject } from "../../store/index.ts";
import { INLINE_LIMIT_BYTES } from "../../store/index.ts";
import type { Code, Draft, Value } from "../../transport/index.ts";
import type { CodeExchange } from "../code-exchange.ts";
import type { Home } from "../home.ts";
import type { ObjectEntry, ObjectRef } from "../objects/object-ref.ts";
import { sampleSum } from "./sampling.ts";
import type { WireValue } from "./wire-value.ts";

/** What the session does for refs and handles that travel inside values. */
export interface TravelHooks {
  encodeRef(ref: ObjectRef): Uint8Array;
  /** Called for each ref of a value being decoded; `values` groups the handles it makes. */
  decodeRef(bytes: Uint8Array, group: DecodeGroup): object;
  encodeHandle(handle: object): Uint8Array;
  decodeHandle(bytes: Uint8Array, group: DecodeGroup): object;
  /** Undefined for a handle that does not count. */
  entryOfHandle(handle: object): ObjectEntry | undefined;
}
/** Entries of the handles that one decoding makes. */
export interface DecodeGroup {
  readonly entries: (ObjectEntry | undefined)[];
  readonly refs: { group: ObjectRef["group"] }[];
}

/** Bytes ready to travel, with what they contain. */
export interface EncodedArgs {
  readonly bytes: Uint8Array;
  readonly contained: readonly ObjectEntry[];
  readonly codes: Code[];
}

const NO_ENTRIES: readonly ObjectEntry[] = [];
const NO_CODES: Code[] = [];

/** As large as Node's pool: a small value that is kept for long keeps no more memory than it would there. */
const SLAB_BYTES = 8192;
/** Values in one message may have so much together; what goes beyond lies in the store. */
export const INLINE_TOTAL_BYTES = 8 * 1024 * 1024;
/** Left over at the end of a slab rather than tried. */
const SLAB_REST_BYTES = 512;

/** The longest array of bytes on Node 20. */
const WHOLE_BYTES_MAX = 2 ** 32 - 1;

/** A value that is planned; the caller decides whether it goes inline or to the store. */
export interface PlannedValue {
  readonly encoded: Encoded;
  readonly contained: readonly ObjectEntry[];
  readonly codes: Code[];
}

export interface ValuesParts {
  readonly codec: ValueCodec;
  readonly code: CodeExchange;
  readonly home: Home;
  readonly nodeId: string;
  /** Of what this process keeps for itself. */
  readonly owner: ObjectOwner;
  readonly travel: TravelHooks;
  /** Completes a group of handles after a decoding. */
  readonly decoded: (group: DecodeGroup) => void;
}

export class Values {
  readonly #parts: ValuesParts;
  readonly #scratch = Buffer.allocUnsafeSlow(INLINE_LIMIT_BYTES);
  /** Small values are written one behind the other; what was given out is never written again. */
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  #slabUsed = 0;
  /** Something is being encoded: its getters and serializers may encode values of their own meanwhile. */
  #isBusy = false;
  #contained: ObjectEntry[] | undefined;
  #codes: Code[] | undefined;
  #group: DecodeGroup | undefined;
  readonly #encodeHooks: EncodeHooks;
  readonly #decodeHooks: DecodeHooks;

  constructor(parts: ValuesParts) {
    this.#parts = parts;
    const { travel, code } = parts;
    this.#encodeHooks = {
      ref: (ref) => {
        const bytes = travel.encodeRef(ref as ObjectRef);
        (this.#contained ??= []).push((ref as ObjectRef).entry);
        return bytes;
      },
      handle: (handle) => {
        const bytes = travel.encodeHandle(handle);
        const entry = travel.entryOfHandle(handle);
        if (entry !== undefined) (this.#contained ??= []).push(entry);
        return bytes;
      },
      code: (fn) => {
        const named = code.publish(code.shipper.capture(fn));
        (this.#codes ??= []).push(named);
        return Buffer.from(named.id, "latin1");
      },
    };
    this.#decodeHooks = {
      ref: (bytes) => travel.decodeRef(bytes, (this.#group ??= { entries: [], refs: [] })),
      handle: (bytes) => travel.decodeHandle(bytes, (this.#group ??= { entries: [], refs: [] })),
      code: (bytes) => this.#knownCode(Buffer.from(bytes).toString("latin1")),
    };
  }

  /**
   * The fast way: an encoding of at most 64 KiB, or undefined when the value needs `plan`. `isOwn`: an array that was just made
   * to hold arguments.
   */
  small(value: unknown, isOwn = false): EncodedArgs | undefined {
    if (this.#isBusy) return undefined;
    return this.#encoding((codec) => {
      if (SLAB_BYTES - this.#slabUsed < SLAB_REST_BYTES) {
        this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
        this.#slabUsed = 0;
      }
      const start = this.#slabUsed;
      const end = codec.encodeSmall(value, this.#slab, start, this.#encodeHooks, isOwn);
      if (end >= 0) {
        this.#slabUsed = end;
        return this.#small(this.#slab.subarray(start, end));
      }
      this.#reset();
      const size = codec.encodeSmall(value, this.#scratch, 0, this.#encodeHooks, isOwn);
      return size < 0 ? undefined : this.#small(Buffer.from(this.#scratch.subarray(0, size)));
    });
  }

  /** Throws SerializationError with the path from `root`. */
  plan(value: unknown, root: string): PlannedValue {
    return this.#encoding((codec) => {
      const encoded = codec.encode(value, this.#encodeHooks, root);
      return { encoded, contained: this.#contained ?? NO_ENTRIES, codes: this.#codes ?? NO_CODES };
    });
  }

  /** A Value of any size. Synchronous when it fits inline or a store slab is at hand. */
  encode(
    value: unknown, root: string, owner = this.#parts.owner,
  ): { value: WireValue | Promise<WireValue>; contained: readonly ObjectEntry[] } {
    const small = this.small(value);
    if (small !== undefined) {
      return { value: this.#published({ value: small.bytes, codes: small.codes }), contained: small.contained };
    }
    const planned = this.plan(value, root);
    return { value: this.#place(planned, owner), contained: planned.contained };
  }

  /** Writes a planned value inline or to the store. The user's buffers must not change until a returned promise resolves. */
  #place(planned: PlannedValue, owner: ObjectOwner): WireValue | Promise<WireValue> {
    const { encoded, codes } = planned;
    if (encoded.size <= INLINE_LIMIT_BYTES) return this.#published({ value: encoded.toBytes(), codes });
    const target = this.#parts.home.store?.tryCreate(encoded.size);
    const sum = () => sampleSum(encoded.size, encoded.parts());
    if (target === undefined) return this.#writeLater(encoded.size, encoded.parts(), codes, owner, sum);
    encoded.writeTo(target.bytes);
    return this.#sealed(target, codes, owner, sum());
  }

  /** A small value that lies in the store all the same: one message can't hold thousands of them. */
  stored(inline: WireValue, owner = this.#parts.owner): WireValue | Promise<WireValue> {
    const bytes = inline.value as Uint8Array;
    const codes = inline.codes as Code[];
    const target = this.#parts.home.store?.tryCreate(bytes.length);
    if (target === undefined) return this.#writeLater(bytes.length, [{ offset: 0, bytes }], codes, owner);
    target.bytes.set(bytes);
    return this.#sealed(target, codes, owner);
  }

  /** For an argument: as `#place`, but the user's buffers are copied before it returns. */
  placeSnapshot(planned: PlannedValue): WireValue | Promise<WireValue> {
    const { encoded, codes } = planned;
    if (encoded.size <= INLINE_LIMIT_BYTES) return this.#published({ value: encoded.toBytes(), codes });
    const target = this.#parts.home.store?.tryCreate(encoded.size);
    if (target !== undefined) {
      encoded.writeTo(target.bytes);
      return this.#sealed(target, codes, this.#parts.owner);
    }
    const snapshot = encoded.toBytes();
    return this.#writeLater(snapshot.length, [{ offset: 0, bytes: snapshot }], codes, this.#parts.owner);
  }

  /** True when `decodeInline` may be called: no code has to be revived first. */
  isDecodable(codes: readonly Code[] | null | undefined): boolean {
    return (
      codes === undefined ||
      codes === null ||
      codes.length === 0 ||
      codes.every((code) => this.#parts.code.ready(code.id))
    );
  }

  /** An encoded error of user code, with the code of its class and what else it holds. */
  encodeError(encode: (hooks: EncodeHooks) => Uint8Array): { value: WireValue; contained: readonly ObjectEntry[] } {
    return this.#encoding(() => {
      const error = encode(this.#encodeHooks);
      return { value: { error, codes: this.#codes ?? NO_CODES }, contained: this.#contained ?? NO_ENTRIES };
    });
  }

  /** Resolves when this code can be fetched by others; undefined when that is so already. */
  unpublished(codes: readonly Draft<Code>[] | null | undefined): Promise<void> | undefined {
    if (codes === undefined || codes === null || codes.length === 0) return undefined;
    return this.#parts.code.unpublished(codes.map((code) => code.id ?? ""));
  }

  async revive(codes: readonly Code[]): Promise<void> {
    if (codes.length > 0) await this.#parts.code.reviveAll(codes);
  }

  /** Decodes a block: bytes of a message, or memory of the store (then large parts become views of it). */
  decode(block: Uint8Array): unknown {
    return this.#decoding(() => this.#parts.codec.decode(block, this.#decodeHooks));
  }

  /** The user's error or the system's, for a Value that is one; undefined otherwise. */
  errorIn(value: WireValue): Error | undefined {
    const { error } = value;
    if (error) return this.#decoding(() => decodeThrown(error, this.#decodeHooks));
    if (value.failure) return errorOf(value.failure as FailureData, (thrown) => this.#thrownIn(thrown));
    return undefined;
  }

  /** The same once its code is here. A failure is told as a text where the code of what was thrown can't be had any more. */
  async failed(value: WireValue): Promise<Error | undefined> {
    await this.revive((value.codes ?? NO_CODES) as Code[]);
    for (let failure = value.failure; failure; failure = failure.cause) {
      await this.revive((failure.thrown?.codes ?? NO_CODES) as Code[]).catch(() => {});
    }
    return this.errorIn(value);
  }

  #thrownIn({ error, codes }: Draft<Value>): TaskError | undefined {
    if (!error || !this.isDecodable(codes as Code[])) return undefined;
    return this.#decoding(() => decodeThrown(error, this.#decodeHooks));
  }

  /** Decodes an object of the store. Large parts of the result are views that keep it pinned. */
  decodeStored(object: ReadableObject): unknown {
    if (object.size > WHOLE_BYTES_MAX) {
      const source = { size: object.size, part: (offset: number, length: number) => object.buffer(offset, length) };
      return this.#decoding(() => this.#parts.codec.decodeParts(source, this.#decodeHooks));
    }
    const block = new Uint8Array(object.buffer());
    if (mayBeViewed(block)) return this.decode(block);
    try {
      return this.decode(block);
    } finally {
      object.release();
    }
  }

  /** Runs one encoding with by-products of its own, also inside another. */
  #encoding<T>(encode: (codec: ValueCodec) => T): T {
    const contained = this.#contained;
    const codes = this.#codes;
    const isBusy = this.#isBusy;
    this.#reset();
    this.#isBusy = true;
    try {
      return encode(this.#parts.codec);
    } finally {
      this.#contained = contained;
      this.#codes = codes;
      this.#isBusy = isBusy;
    }
  }

  /** Runs one decoding with a group of handles of its own, also inside another. */
  #decoding<T>(decode: () => T): T {
    const outer = this.#group;
    this.#group = undefined;
    try {
      const value = decode();
      const group = this.#group as DecodeGroup | undefined;
      if (group !== undefined) this.#parts.decoded(group);
      return value;
    } finally {
      this.#group = outer;
    }
  }

  #small(bytes: Uint8Array): EncodedArgs {
    return { bytes, contained: this.#contained ?? NO_ENTRIES, codes: this.#codes ?? NO_CODES };
  }

  #reset(): void {
    this.#contained = undefined;
    this.#codes = undefined;
  }

  /** The samples are taken of what has just been read: of memory that was never written each would cost a page before. */
  async #writeLater(
    size: number, parts: Iterable<{ offset: number; bytes: Uint8Array }>, codes: Code[], owner: ObjectOwner, sum = () => 0,
  ): Promise<WireValue> {
    const { home } = this.#parts;
    await home.joined;
    if (home.far !== undefined) return this.#published({ stored: await home.far.write(size, parts), codes });
    await home.garbage?.beforeMaking(size);
    const target = await home.storeHere().create(size);
    try {
      for (const part of parts) await target.write(part.offset, part.bytes);
    } catch (error) {
      target.abort();
      throw error;
    }
    return this.#sealed(target, codes, owner, sum());
  }

  #sealed(target: WritableObject, codes: Code[], owner: ObjectOwner, sum = 0): WireValue | Promise<WireValue> {
    const size = target.size;
    const { slot, generation } = target.seal(owner);
    return this.#published({ stored: { node: this.#parts.nodeId, slot, generation, size, sum }, codes });
  }

  /** A value is known to others only when they can fetch the code in it. */
  #published(value: WireValue): WireValue | Promise<WireValue> {
    return this.unpublished(value.codes)?.then(() => value) ?? value;
  }

  #knownCode(id: string): Function {
    const fn = this.#parts.code.ready(id);
    if (fn === undefined) throw new InvalidArgumentError(`code ${id} was not revived before its value was decoded`);
    return fn;
  }
}
