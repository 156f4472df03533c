// Reads values. Bytes may come from anywhere: whatever they are, the result is a value or a SerializationError, memory stays in
// proportion to the bytes, and nothing is touched that the decoder did not make itself.

import { Buffer } from "node:buffer";
import { errorClassOf, TroupeError } from "../errors.ts";
import { decodeArrow } from "./arrow.ts";
import { bareError, builtinPrototype, setHidden } from "./bare-error.ts";
import { BlockBuffers } from "./block-buffers.ts";
import { ByteReader, badBytes } from "./byte-reader.ts";
import type { DecodeHooks } from "./contract.ts";
import * as f from "./format.ts";
import type { BlockSource } from "./large-block.ts";
import { messageOf } from "./refusal.ts";
import { isResizable } from "./resizable.ts";
import { learnSerializer, type Serializer } from "./serializers.ts";
import { restored } from "./stand-ins.ts";

/** A `DecodeHooks.code` may return this for code it does not have: errors then fall back to the built-in class. */
export class UnknownClass {}

/** Bodies nest INLINE_DEPTH deep, and each scope adds at most three levels. */
const DEPTH_MAX = f.INLINE_DEPTH + 3 * f.SCOPE_DEPTH + 10;
const LENGTH_MAX = 2 ** 32 - 1;
/** Loose arrays above this are kept as dictionaries. */
const SPARSE_LENGTH = 64;
/** Holds an object's number until the object can be made. */
const UNMADE = Symbol("unmade");

interface LateBody {
  readonly tag: number;
  readonly value: object;
  readonly count: number;
  readonly keys: readonly string[] | undefined;
}

/** `block`: all of it, or its head, and `source` the rest. */
export function decodeBlock(block: Uint8Array, hooks: DecodeHooks, source?: BlockSource): unknown {
  try {
    if (block.length < f.SMALL_HEADER_BYTES) throw badBytes("they end too early");
    if (block[0] !== f.MAGIC) throw badBytes("they have another format or version");
    if (block[1] !== f.PLAIN_BLOCK && block[1] !== f.BUFFERS_BLOCK) throw badBytes("the kind of block is unknown");
    const isPlain = block[1] === f.PLAIN_BLOCK;
    const buffers = new BlockBuffers(block, source);
    const end = isPlain ? block.length : buffers.readTable();
    const reader = new ByteReader(block, isPlain ? f.SMALL_HEADER_BYTES : f.LARGE_HEADER_BYTES, end);
    const value = new Decoder(reader, buffers, hooks).root();
    if (reader.at !== end) throw badBytes("there are more than the value has");
    return value;
  } catch (error) {
    throw error instanceof TroupeError ? error : badBytes(messageOf(error), error);
  }
}

class Decoder {
  readonly #in: ByteReader;
  readonly #buffers: BlockBuffers;
  readonly #hooks: DecodeHooks;
  readonly #objects: unknown[] = [];
  // Small values have neither.
  #shapes: (readonly string[])[] | undefined;
  #queue: LateBody[] | undefined;
  #scopes = 0;

  constructor(reader: ByteReader, buffers: BlockBuffers, hooks: DecodeHooks) {
    this.#in = reader;
    this.#buffers = buffers;
    this.#hooks = hooks;
  }

  root(): unknown {
    const value = this.value(0);
    if (this.#queue !== undefined) this.#drain(this.#queue, 0);
    return value;
  }

  #drain(queue: LateBody[], depth: number): void {
    for (let i = 0; i < queue.length; i++) {
      const { tag, value, count, keys } = queue[i];
      this.#body(tag, value, count, keys, depth + 1);
    }
    queue.length = 0;
  }

  #scope(depth: number): unknown {
    if (++this.#scopes > f.SCOPE_DEPTH) throw badBytes("scopes nest too deep");
    const outer = this.#queue;
    this.#queue = undefined;
    const value = this.value(depth + 1);
    if (this.#queue !== undefined) this.#drain(this.#queue, depth);
    this.#queue = outer;
    this.#scopes--;
    return value;
  }

  value(depth: number): unknown {
    const tag = this.#in.byte();
    if (tag <= f.SMALL_INT_MAX) return tag;
    if (tag < f.SHORT_ARRAY) return this.#in.latin1(tag & 0x1f);
    if (tag < f.UNDEFINED) return this.#composite(tag, depth, false);
    if (tag === f.FLOAT64) return this.#in.float();
    switch (tag) {
      case f.UNDEFINED: return undefined;
      case f.NULL: return null;
      case f.TRUE: return true;
      case f.FALSE: return false;
      case f.INT8: return (this.#in.byte() << 24) >> 24;
      case f.INT16: return this.#in.int16();
      case f.INT32: return this.#in.int32();
      case f.LATIN1:
      case f.UTF16: return this.#in.textOf(tag);
      case f.BACK: return this.#back();
      case f.DEFER: return this.#composite(this.#in.byte(), depth, true);
    }
    if (tag < f.BACK) return this.#rare(tag);
    return tag < f.DATE ? this.#composite(tag, depth, false) : this.#whole(tag, depth);
  }

  #rare(tag: number): unknown {
    if (tag === f.BIGINT) return this.#bigint();
    if (tag === f.REGISTERED_SYMBOL || tag === f.WELL_KNOWN_SYMBOL) return this.#symbol(tag);
    throw badBytes(`the tag ${tag} has no meaning here`);
  }

  #back(): unknown {
    const value = this.#objects[this.#in.count()];
    if (value === undefined || value === UNMADE) throw badBytes("an object is named before it is there");
    return value;
  }

  #bigint(): bigint {
    const isNegative = this.#in.byte() === 1;
    const digits = this.#in.latin1(this.#in.countOf(1));
    if (!/^[0-9a-f]+$/.test(digits)) throw badBytes("a bigint has no digits");
    const value = BigInt(`0x${digits}`);
    return isNegative ? -value : value;
  }

  #symbol(tag: number): symbol {
    const text = this.#in.text();
    const symbol = tag === f.REGISTERED_SYMBOL ? Symbol.for(text) : f.WELL_KNOWN_SYMBOLS.get(text);
    if (symbol === undefined) throw badBytes("a symbol is unknown to this release of Node.js");
    return symbol;
  }

  // -- composites ----------------------------------------------------------------------------------------------------

  /** Reads a header, makes the empty object and reads its body, or queues that. */
  #composite(tag: number, depth: number, isLate: boolean): object {
    if (depth > DEPTH_MAX) throw badBytes("they nest too deep");
    let value: object;
    let count = 0;
    let kind = tag;
    let keys: readonly string[] | undefined;
    if (tag < f.SHORT_OBJECT && tag >= f.SHORT_ARRAY) {
      kind = f.ARRAY;
      count = tag & f.SHORT_COUNT_MAX;
      this.#objects.push((value = []));
    } else if (tag < f.UNDEFINED && tag >= f.SHORT_OBJECT) {
      kind = f.OBJECT;
      count = tag & f.SHORT_COUNT_MAX;
      this.#objects.push((value = {}));
    } else if (tag === f.SHAPED) {
      keys = this.#shapes?.[this.#in.count()];
      if (keys === undefined) throw badBytes("a shape is missing");
      this.#objects.push((value = {}));
    } else if (tag === f.ARRAY || tag === f.OBJECT) {
      count = this.#in.countOf(tag === f.ARRAY ? 1 : 2);
      this.#objects.push((value = tag === f.ARRAY ? [] : {}));
    } else if (tag === f.SHAPE_OBJECT) {
      this.#objects.push((value = {}));
      keys = this.#defineShape();
      kind = f.SHAPED;
    } else {
      value = this.#header(tag, depth);
    }
    if (isLate) (this.#queue ??= []).push({ tag: kind, value, count, keys });
    else this.#body(kind, value, count, keys, depth);
    return value;
  }

  #defineShape(): readonly string[] {
    const count = this.#in.countOf(2);
    const keys: string[] = [];
    for (let i = 0; i < count; i++) keys.push(this.#in.name(this.#in.byte()));
    (this.#shapes ??= []).push(keys);
    return keys;
  }

  #header(tag: number, depth: number): object {
    if (tag === f.DECORATED) return this.#decorated(depth);
    const number = this.#objects.push(UNMADE) - 1;
    const value = this.#empty(tag, depth);
    this.#objects[number] = value;
    return value;
  }

  #empty(tag: number, depth: number): object {
    switch (tag) {
      case f.LOOSE_ARRAY: return [];
      case f.PROPS_OBJECT: return {};
      case f.NULL_OBJECT: return Object.create(null) as object;
      case f.MAP: return new Map();
      case f.SET: return new Set();
      case f.INSTANCE: return Object.create(prototypeOf(this.value(depth + 1))) as object;
      case f.ERROR: return this.#error(depth);
      case f.DOM_EXCEPTION: {
        const error = new DOMException(this.#in.text(), this.#in.text());
        Reflect.deleteProperty(error, "stack");
        return error;
      }
      default: throw badBytes(`the tag ${tag} has no meaning here`);
    }
  }

  /** Only what was just made is given another prototype: never something that a hook returned or that was there before. */
  #decorated(depth: number): object {
    const userClass = this.value(depth + 1);
    const tag = this.#in.bytes[this.#in.at];
    const inner = tag === f.DEFER ? this.#in.bytes[this.#in.at + 1] : tag;
    if (!DECORABLE.has(inner)) throw badBytes("this value has no properties beside it");
    const base = this.value(depth) as object;
    if (userClass !== null) Object.setPrototypeOf(base, prototypeOf(userClass));
    return base;
  }

  #error(depth: number): Error {
    const family = this.#in.byte();
    if (family === f.ERROR_BUILTIN) return bareError(builtinPrototype(this.#in.text()));
    if (family === f.ERROR_TROUPE) return bareError(errorClassOf(this.#in.text()).prototype);
    if (family !== f.ERROR_USER) throw badBytes("a class of errors is unknown");
    const userClass = this.value(depth + 1);
    const base = this.#in.text();
    const name = this.#in.text();
    if (userClass !== UnknownClass) return bareError(prototypeOf(userClass));
    const error = bareError(builtinPrototype(base));
    setHidden(error, "name", name);
    return error;
  }

  #body(tag: number, value: object, count: number, keys: readonly string[] | undefined, depth: number): void {
    switch (tag) {
      case f.ARRAY: this.#elements(value as unknown[], count, depth); return;
      case f.OBJECT: this.#entries(value as Record<string, unknown>, count, depth); return;
      case f.SHAPED: this.#shaped(value as Record<string, unknown>, keys!, depth); return;
      case f.MAP:
        for (let left = this.#in.countOf(2); left > 0; left--) {
          const key = this.value(depth + 1);
          (value as Map<unknown, unknown>).set(key, this.value(depth + 1));
        }
        return;
      case f.SET:
        for (let left = this.#in.countOf(1); left > 0; left--) (value as Set<unknown>).add(this.value(depth + 1));
        return;
      case f.LOOSE_ARRAY:
        this.#looseArray(value as unknown[], depth);
        return;
      default: this.#props(value, depth);
    }
  }

  #elements(value: unknown[], count: number, depth: number): void {
    const reader = this.#in;
    const { bytes, end } = reader;
    for (let i = 0; i < count; i++) {
      const { at } = reader;
      const tag = at < end ? bytes[at] : f.SMALL_INT_MAX + 1;
      if (tag <= f.SMALL_INT_MAX) {
        reader.at = at + 1;
        value.push(tag);
      } else if (tag === f.FLOAT64) {
        reader.at = at + 1;
        value.push(reader.float());
      } else if (tag === f.HOLE) {
        reader.at = at + 1;
        value.length = i + 1;
      } else {
        value.push(this.value(depth + 1));
      }
    }
  }

  #entries(value: Record<string, unknown>, count: number, depth: number): void {
    const reader = this.#in;
    for (let i = 0; i < count; i++) {
      const key = reader.name(reader.byte());
      const item = this.value(depth + 1);
      if (key === "__proto__") define(value, key, f.PLAIN_PROPERTY, item);
      else value[key] = item;
    }
  }

  #shaped(value: Record<string, unknown>, keys: readonly string[], depth: number): void {
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i];
      const item = this.value(depth + 1);
      if (key === "__proto__") define(value, key, f.PLAIN_PROPERTY, item);
      else value[key] = item;
    }
  }

  /** The engine makes room for a length at once unless the array is known to be sparse: a length alone must cost nothing. */
  #looseArray(value: unknown[], depth: number): void {
    const length = this.#in.count();
    if (length > LENGTH_MAX) throw badBytes("an array is too long");
    if (length > SPARSE_LENGTH) value.length = LENGTH_MAX;
    value.length = length;
    this.#props(value, depth);
  }

  #props(value: object, depth: number): void {
    const reader = this.#in;
    for (let left = reader.countOf(3); left > 0; left--) {
      const tag = reader.byte();
      const isSymbol = tag === f.REGISTERED_SYMBOL || tag === f.WELL_KNOWN_SYMBOL;
      const key = isSymbol ? this.#symbol(tag) : reader.name(tag);
      const flags = reader.byte();
      define(value, key, flags, this.value(depth + 1));
    }
  }

  // -- values that are complete at once ------------------------------------------------------------------------------

  #whole(tag: number, depth: number): unknown {
    const number = this.#objects.push(UNMADE) - 1;
    const value = tag < f.REF ? this.#leaf(tag) : this.#hooked(tag, depth);
    this.#objects[number] = value;
    return value;
  }

  #leaf(tag: number): unknown {
    switch (tag) {
      case f.DATE: return new Date(this.#in.float());
      case f.REGEXP: {
        const pattern = new RegExp(this.#in.text(), this.#in.text());
        pattern.lastIndex = this.value(0) as number;
        return pattern;
      }
      case f.BOXED: {
        const inner = this.value(DEPTH_MAX + 1);
        if (inner === undefined || inner === null || typeof inner === "object") throw badBytes("a boxed primitive has none");
        return Object(inner);
      }
      case f.URL_VALUE: return new URL(this.#in.text());
      case f.POOLED_BUFFER: return Buffer.from(this.#in.raw(this.#in.countOf(1)));
      case f.ARRAY_BUFFER: return this.#buffers.read(this.#in, true).buffer;
      case f.VIEW: return this.#view();
      case f.ARROW: {
        const form = this.#in.byte();
        const kind = this.#in.byte();
        const { buffer, shift, length } = this.#buffers.region(this.#in.count());
        return decodeArrow(form, kind, new Uint8Array(buffer, shift, length));
      }
      default: throw badBytes(`the tag ${tag} has no meaning`);
    }
  }

  #view(): ArrayBufferView {
    const number = this.#in.byte();
    const kind = VIEW_MAKERS[number & ~f.TRACKING];
    if (kind === undefined) throw badBytes("a kind of typed array is unknown to this release of Node.js");
    const { buffer, shift, base, length: available } = this.#buffers.read(this.#in, false);
    const start = this.#in.count() - base;
    if ((number & f.TRACKING) !== 0) {
      if (shift !== 0 || !isResizable(buffer)) throw badBytes("a view tracks the length of a buffer that is not resizable");
      return kind.make(buffer, start, undefined);
    }
    const length = this.#in.count();
    const isInside = start >= 0 && start + length * kind.unit <= available && (shift + start) % kind.unit === 0;
    if (!isInside) throw badBytes("a typed array is not in its buffer");
    return kind.make(buffer, shift + start, length);
  }

  #hooked(tag: number, depth: number): unknown {
    switch (tag) {
      case f.REF: return this.#hooks.ref(this.#in.raw(this.#in.countOf(1)));
      case f.HANDLE: return this.#hooks.handle(this.#in.raw(this.#in.countOf(1)));
      case f.FUNCTION: return this.#hooks.code(this.#in.raw(this.#in.countOf(1)));
      case f.CUSTOM: {
        const [Class, serialize, deserialize] = [this.#code(depth), this.#code(depth), this.#code(depth)];
        const payload = this.#scope(depth);
        learnSerializer({ Class, serialize, deserialize } as unknown as Serializer);
        return restored(`deserialize of the serializer of ${Class.name}`, () => deserialize(payload));
      }
      case f.REDUCED: {
        const restore = this.#code(depth);
        const args = this.#scope(depth);
        if (!Array.isArray(args)) throw badBytes("a stand-in has no arguments");
        return restored(`the function "${restore.name}" that restores a value`, () => restore(...(args as unknown[])));
      }
      default: throw badBytes(`the tag ${tag} has no meaning`);
    }
  }

  #code(depth: number): (...args: unknown[]) => unknown {
    const code = this.value(depth + 1);
    if (typeof code !== "function") throw badBytes("a function is missing");
    return code as (...args: unknown[]) => unknown;
  }
}

const DECORABLE: ReadonlySet<number> = new Set([
  f.LOOSE_ARRAY, f.MAP, f.SET, f.DATE, f.REGEXP, f.BOXED, f.URL_VALUE, f.POOLED_BUFFER, f.ARRAY_BUFFER, f.VIEW,
]);

interface ViewMaker {
  /** Bytes of an element. */
  readonly unit: number;
  make(buffer: ArrayBuffer, offset: number, length: number | undefined): ArrayBufferView;
}

const VIEW_MAKERS: readonly (ViewMaker | undefined)[] = f.VIEW_KINDS.map((name) => {
  if (name === "Buffer") return { unit: 1, make: (buffer, offset, length) => Buffer.from(buffer, offset, length) };
  const View = (globalThis as unknown as Record<string, Uint8ArrayConstructor | undefined>)[name];
  if (View === undefined) return undefined;
  return { unit: View.BYTES_PER_ELEMENT ?? 1, make: (buffer, offset, length) => new View(buffer, offset, length) };
});

function prototypeOf(userClass: unknown): object {
  const prototype: unknown = typeof userClass === "function" ? userClass.prototype : undefined;
  if (typeof prototype !== "object" || prototype === null) throw badBytes("a class is missing");
  return prototype;
}

/** Never runs a setter, so no name is special. */
function define(target: object, key: string | symbol, flags: number, value: unknown): void {
  if (flags === f.PLAIN_PROPERTY && !(key in target)) {
    (target as Record<string | symbol, unknown>)[key] = value;
    return;
  }
  Object.defineProperty(target, key, {
    value,
    enumerable: (flags & f.ENUMERABLE) !== 0,
    writable: (flags & f.WRITABLE) !== 0,
    configurable: (flags & f.CONFIGURABLE) !== 0,
  });
}
