// Writes values. One pass: the structure is written as it is met, large buffers are planned and copied at the end by `finish`.
//
// No recursion on the user's structure beyond INLINE_DEPTH (see format.ts: DEFER). An encoder is used for one value at a time;
// getters and serializers may encode values of their own meanwhile, with another encoder (codec.ts).

import { types } from "node:util";
import { looksLikeArrow } from "./arrow.ts";
import { HANDLE_BRAND, REDUCE_BRAND, REF_BRAND, type Reducible, type Staying, STAYS_BRAND } from "./brands.ts";
import { BufferPlan } from "./buffer-plan.ts";
import { encodeArrowValue, encodeErrorClass, encodeLeaf } from "./builtins.ts";
import { ByteWriter } from "./byte-writer.ts";
import { REGISTER, classOf, type Family } from "./classes.ts";
import { CaptureError } from "../errors.ts";
import type { EncodeHooks } from "./contract.ts";
import * as f from "./format.ts";
import { Memo } from "./memo.ts";
import { errorKeys, isLoose, ownExtras } from "./properties.ts";
import { Refusal, step, wayTo } from "./refusal.ts";
import { serializerOf } from "./serializers.ts";
import { ShapeTable } from "./shapes.ts";
import { encodeCustom, encodeReduced } from "./stand-ins.ts";

/** A body that waits in the queue of its scope. */
export interface LateBody {
  readonly tag: number;
  readonly value: object;
  /** Keys, when they were listed for the header. */
  readonly keys: readonly (string | symbol)[] | undefined;
}

const { getOwnPropertyNames, getOwnPropertySymbols, getPrototypeOf, values } = Object;
/** Up to here the engine reads properties far faster by `in` than by a list; of dictionaries it is the other way around. */
const MANY_KEYS = 64;
const OBJECT_PROTOTYPE = Object.prototype;
const ARRAY_PROTOTYPE = Array.prototype;
const sizeOfMap = Object.getOwnPropertyDescriptor(Map.prototype, "size")!.get!;
const sizeOfSet = Object.getOwnPropertyDescriptor(Set.prototype, "size")!.get!;
const SYMBOL_NAMES: ReadonlyMap<symbol, string> = new Map([...f.WELL_KNOWN_SYMBOLS].map(([name, symbol]) => [symbol, name]));
/** Objects of the engine that look plain. */
const NAMESPACES: ReadonlySet<object> = new Set([Math, JSON, Reflect, Atomics, Intl, console, globalThis]);

export class Encoder {
  readonly out = new ByteWriter();
  readonly buffers = new BufferPlan();
  /** False while only a small block may be written. */
  allowBuffers = true;
  hooks!: EncodeHooks;
  readonly #memo = new Memo();
  readonly #shapes = new ShapeTable();
  #queue: LateBody[] = [];
  /** What is being made of its scope: the reader has nothing yet that a BACK to it could name. */
  readonly #open: object[] = [];

  /** Must be called after each value, also a failed one. */
  clear(): void {
    this.#memo.clear();
    this.#shapes.clear();
    this.buffers.clear();
    if (this.#queue.length > 0) this.#queue = [];
    if (this.#open.length > 0) this.#open.length = 0;
  }

  /** `isOwn`: an array that the caller just made, which has elements and nothing else. */
  root(value: unknown, isOwn = false): void {
    if (isOwn && Array.isArray(value)) this.#dense(value, 0);
    else this.value(value, 0);
    if (this.#queue.length > 0) this.#drain(0);
  }

  #drain(depth: number): void {
    const queue = this.#queue;
    for (let i = 0; i < queue.length; i++) {
      const { tag, value, keys } = queue[i];
      this.#body(tag, value, keys, depth + 1);
    }
    queue.length = 0;
  }

  /** What stands for `holder`, the object numbered last: complete before the reader makes the value. */
  scope(payload: unknown, depth: number, holder: object, hop: string): void {
    if (this.#open.length === f.SCOPE_DEPTH) {
      throw new Refusal(holder, `holds serializer payloads more than ${f.SCOPE_DEPTH} deep`, "flatten what its serializer gives");
    }
    this.#open.push(holder);
    const outer = this.#queue;
    this.#queue = [];
    try {
      this.value(payload, depth + 1);
      this.#drain(depth);
    } catch (error) {
      if (!(error instanceof Refusal) || error.culprit === holder) throw error;
      const rest = `${hop}${wayTo(payload, error.culprit) ?? ""}${error.rest}`;
      throw new Refusal(holder, error.reason, error.remedy, rest, error.cause);
    } finally {
      this.#queue = outer;
      this.#open.pop();
    }
  }

  value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string": this.out.text(value); return;
      case "number": this.#number(value); return;
      case "object":
        if (value === null) this.out.byte(f.NULL);
        else this.object(value, depth);
        return;
      case "boolean": this.out.byte(value ? f.TRUE : f.FALSE); return;
      case "undefined": this.out.byte(f.UNDEFINED); return;
      case "function": this.function(value, depth); return;
      case "bigint": this.#bigint(value); return;
      case "symbol": this.symbol(value); return;
    }
  }

  #number(value: number): void {
    const { out } = this;
    const whole = value | 0;
    if (whole !== value || (value === 0 && 1 / value < 0)) {
      out.byte(f.FLOAT64);
      out.float(value);
    } else if (whole >= 0 && whole <= f.SMALL_INT_MAX) {
      out.byte(whole);
    } else if (whole >= -128 && whole <= 127) {
      out.byte(f.INT8);
      out.byte(whole & 0xff);
    } else if (whole >= -0x8000 && whole <= 0x7fff) {
      out.tagged16(f.INT16, whole);
    } else {
      out.tagged32(f.INT32, whole);
    }
  }

  #bigint(value: bigint): void {
    const { out } = this;
    const digits = (value < 0n ? -value : value).toString(16);
    out.byte(f.BIGINT);
    out.byte(value < 0n ? 1 : 0);
    out.count(digits.length);
    out.reserve(digits.length);
    out.at += out.bytes.write(digits, out.at, "latin1");
  }

  symbol(value: symbol): void {
    const key = Symbol.keyFor(value);
    const text = key ?? SYMBOL_NAMES.get(value);
    if (text === undefined) {
      throw new Refusal(value, `is ${String(value)}, a symbol that is unique to this process`, "use Symbol.for(name)");
    }
    this.out.byte(key === undefined ? f.WELL_KNOWN_SYMBOL : f.REGISTERED_SYMBOL);
    this.out.text(text);
  }

  // -- objects -------------------------------------------------------------------------------------------------------

  object(value: object, depth: number): void {
    const number = this.#memo.find(value);
    if (number >= 0) {
      this.#back(number, value);
      return;
    }
    if (types.isProxy(value)) {
      this.#proxy(value, depth);
      return;
    }
    const prototype: unknown = getPrototypeOf(value);
    if (prototype === OBJECT_PROTOTYPE) this.#plain(value as Record<string, unknown>, depth);
    else if (prototype === ARRAY_PROTOTYPE && Array.isArray(value)) this.#array(value, depth);
    else this.#special(value, prototype as object | null, depth);
  }

  #back(number: number, value: object): void {
    if (this.#open.length > 0 && this.#open.includes(value)) {
      throw new Refusal(value, "holds itself in what its serializer gives", "give only what deserialize can make it of");
    }
    this.out.byte(f.BACK);
    this.out.count(number);
  }

  /** The next object number; the reader counts the same way. */
  number(value: object): void {
    this.#memo.add(value);
  }

  #plain(value: Record<string, unknown>, depth: number): void {
    const keys = getOwnPropertyNames(value);
    if (keys.length !== countIn(value, keys.length) || getOwnPropertySymbols(value).length > 0) {
      if (NAMESPACES.has(value)) throw new Refusal(value, "is an object of the engine", "use it where it is needed");
      if (types.isArgumentsObject(value)) throw new Refusal(value, "is an arguments object", "send [...arguments]");
      this.composite(f.PROPS_OBJECT, value, depth, undefined);
      return;
    }
    const { out } = this;
    const count = keys.length;
    this.#memo.add(value);
    const shape = this.#shapes.find(keys);
    const isLate = depth >= f.INLINE_DEPTH;
    if (isLate) out.byte(f.DEFER);
    if (shape >= 0) {
      out.byte(f.SHAPED);
      out.count(shape);
      if (isLate) this.#queue.push({ tag: f.SHAPED, value, keys });
      else this.#items(value, keys, depth);
      return;
    }
    const tag = !isLate && this.#shapes.learn(keys) ? f.SHAPE_OBJECT : f.OBJECT;
    if (tag === f.OBJECT && count <= f.SHORT_COUNT_MAX) {
      out.byte(f.SHORT_OBJECT | count);
    } else {
      out.byte(tag);
      out.count(count);
    }
    if (isLate) {
      this.#queue.push({ tag: f.OBJECT, value, keys });
    } else if (tag === f.OBJECT) {
      this.#entries(value, keys, depth);
    } else {
      for (const key of keys) out.text(key);
      this.#items(value, keys, depth);
    }
  }

  #entries(value: Record<string, unknown>, keys: readonly string[], depth: number): void {
    let written = 0;
    if (keys.length > MANY_KEYS) {
      for (const item of values(value)) {
        this.out.text(keys[written++]);
        this.value(item, depth + 1);
      }
    } else {
      for (const key in value) {
        this.out.text(key);
        this.value(value[key], depth + 1);
        written++;
      }
    }
    if (written !== keys.length) throw changed(value);
  }

  #items(value: Record<string, unknown>, keys: readonly string[], depth: number): void {
    let written = 0;
    for (const key in value) {
      this.value(value[key], depth + 1);
      written++;
    }
    if (written !== keys.length) throw changed(value);
  }

  #array(value: readonly unknown[], depth: number): void {
    if (isLoose(value)) {
      this.composite(f.LOOSE_ARRAY, value, depth, undefined);
    } else {
      this.#dense(value, depth);
    }
  }

  #dense(value: readonly unknown[], depth: number): void {
    const { out } = this;
    const { length } = value;
    this.#memo.add(value);
    const isLate = depth >= f.INLINE_DEPTH;
    if (isLate) out.byte(f.DEFER);
    if (length <= f.SHORT_COUNT_MAX) {
      out.byte(f.SHORT_ARRAY | length);
    } else {
      out.byte(f.ARRAY);
      out.count(length);
    }
    if (isLate) this.#queue.push({ tag: f.ARRAY, value, keys: undefined });
    else this.#elements(value, depth);
  }

  #elements(value: readonly unknown[], depth: number): void {
    const { length } = value;
    for (let i = 0; i < length; i++) {
      const element = value[i];
      if (element === undefined && !(i in value)) this.out.byte(f.HOLE);
      else this.value(element, depth + 1);
    }
  }

  /** Header and body of an object; what goes between them is written by the caller through `header`. */
  composite(tag: number, value: object, depth: number, header: (() => void) | undefined, counted = true): void {
    if (counted) this.#memo.add(value);
    const isLate = depth >= f.INLINE_DEPTH;
    if (isLate) this.out.byte(f.DEFER);
    this.out.byte(tag);
    header?.();
    if (isLate) this.#queue.push({ tag, value, keys: undefined });
    else this.#body(tag, value, undefined, depth);
  }

  #body(tag: number, value: object, keys: readonly (string | symbol)[] | undefined, depth: number): void {
    switch (tag) {
      case f.OBJECT: this.#entries(value as Record<string, unknown>, keys as readonly string[], depth); return;
      case f.SHAPED: this.#items(value as Record<string, unknown>, keys as readonly string[], depth); return;
      case f.ARRAY: this.#elements(value as readonly unknown[], depth); return;
      case f.LOOSE_ARRAY:
        this.out.count((value as readonly unknown[]).length);
        this.#props(value, Reflect.ownKeys(value).filter((key) => key !== "length"), depth);
        return;
      case f.MAP: this.#map(value as Map<unknown, unknown>, depth); return;
      case f.SET: this.#set(value as Set<unknown>, depth); return;
      case f.DECORATED: this.#props(value, ownExtras(value), depth); return;
      case f.ERROR:
      case f.DOM_EXCEPTION: this.#props(value, errorKeys(value), depth); return;
      default: this.#props(value, Reflect.ownKeys(value), depth);
    }
  }

  #map(value: Map<unknown, unknown>, depth: number): void {
    const size = sizeOfMap.call(value) as number;
    this.out.count(size);
    let written = 0;
    for (const [key, item] of Map.prototype.entries.call(value)) {
      this.value(key, depth + 1);
      this.value(item, depth + 1);
      written++;
    }
    if (written !== size) throw changed(value);
  }

  #set(value: Set<unknown>, depth: number): void {
    const size = sizeOfSet.call(value) as number;
    this.out.count(size);
    let written = 0;
    for (const item of Set.prototype.values.call(value)) {
      this.value(item, depth + 1);
      written++;
    }
    if (written !== size) throw changed(value);
  }

  #props(value: object, keys: readonly (string | symbol)[], depth: number): void {
    const { out } = this;
    out.count(keys.length);
    const isError = types.isNativeError(value);
    for (const key of keys) {
      const descriptor = Object.getOwnPropertyDescriptor(value, key);
      if (descriptor === undefined) throw changed(value);
      if (typeof key === "string") out.text(key);
      else this.#symbolKey(value, key);
      out.byte(
        (descriptor.enumerable ? f.ENUMERABLE : 0)
          | (descriptor.writable === false ? 0 : f.WRITABLE)
          | (descriptor.configurable ? f.CONFIGURABLE : 0),
      );
      if ("value" in descriptor || isError || getPrototypeOf(value) === OBJECT_PROTOTYPE) {
        this.value("value" in descriptor ? descriptor.value : (value as Record<string | symbol, unknown>)[key], depth + 1);
      } else {
        throw new Refusal(value, "is a getter of one object only", `define it in the class, or ${REGISTER}`, step(key));
      }
    }
  }

  #symbolKey(holder: object, key: symbol): void {
    if (Symbol.keyFor(key) === undefined && !SYMBOL_NAMES.has(key)) {
      throw new Refusal(holder, `has a property with the key ${String(key)}, a symbol of this process`, "use Symbol.for(name)");
    }
    this.symbol(key);
  }

  // -- what is neither plain nor an array ----------------------------------------------------------------------------

  #special(value: object, prototype: object | null, depth: number): void {
    const serializer = prototype === null ? undefined : serializerOf(prototype);
    if (serializer !== undefined) {
      encodeCustom(this, value, serializer, depth);
      return;
    }
    if (this.#branded(value, depth)) return;
    if (looksLikeArrow(value)) {
      encodeArrowValue(this, value);
      return;
    }
    const info = classOf(value, prototype);
    if ("reason" in info) throw new Refusal(value, info.reason, info.remedy);
    const { family, userClass } = info;
    if (family === "plain") {
      this.composite(prototype === null ? f.NULL_OBJECT : f.PROPS_OBJECT, value, depth, undefined);
    } else if (family === "user") {
      this.composite(f.INSTANCE, value, depth, () => this.classOf(value, userClass!, depth + 1));
    } else if (family === "error") {
      this.composite(f.ERROR, value, depth, () => encodeErrorClass(this, value, userClass, depth));
    } else if (family === "domexception") {
      const { message, name } = value as DOMException;
      this.composite(f.DOM_EXCEPTION, value, depth, () => (this.out.text(message), this.out.text(name)));
    } else if (family === "array") {
      this.#decorated(value, userClass, depth, () => this.composite(f.LOOSE_ARRAY, value, depth, undefined));
    } else if (userClass !== undefined || ownExtras(value).length > 0) {
      this.#decorated(value, userClass, depth, () => this.#builtin(value, family, depth));
    } else {
      this.#builtin(value, family, depth);
    }
  }

  #builtin(value: object, family: Family, depth: number): void {
    if (family === "map") this.composite(f.MAP, value, depth, undefined);
    else if (family === "set") this.composite(f.SET, value, depth, undefined);
    else encodeLeaf(this, value, family);
  }

  #decorated(value: object, userClass: Function | undefined, depth: number, base: () => void): void {
    const header = (): void => {
      if (userClass === undefined) this.out.byte(f.NULL);
      else this.classOf(value, userClass, depth + 1);
      base();
    };
    // The array's own properties are in its loose body already.
    this.composite(f.DECORATED, value, depth, header, false);
  }

  /** True when the value was written by a hook. */
  #branded(value: object, depth: number): boolean {
    if (REF_BRAND in value) this.#hooked(f.REF, value, this.hooks.ref(value));
    else if (HANDLE_BRAND in value) this.#hooked(f.HANDLE, value, this.hooks.handle(value));
    else if (REDUCE_BRAND in value) encodeReduced(this, value as Reducible, depth);
    else if (STAYS_BRAND in value) throw stays(value as Staying);
    else return false;
    return true;
  }

  #hooked(tag: number, value: object, bytes: Uint8Array): void {
    this.#memo.add(value);
    this.out.byte(tag);
    this.out.count(bytes.length);
    this.out.raw(bytes);
  }

  #proxy(value: object, depth: number): void {
    if (!hasBrand(value) || !this.#branded(value, depth)) {
      throw new Refusal(value, "is a Proxy, whose handler cannot be copied", "send what it stands for, such as { ...proxy }");
    }
  }

  function(value: Function, depth: number): void {
    const number = this.#memo.find(value);
    if (number >= 0) {
      this.#back(number, value);
    } else if (!this.#branded(value, depth)) {
      this.#hooked(f.FUNCTION, value, this.#code(value));
    }
  }

  #code(fn: Function): Uint8Array {
    try {
      return this.hooks.code(fn);
    } catch (error) {
      if (!(error instanceof CaptureError)) throw error;
      throw new Refusal(fn, "is a function that cannot travel", error.message, "", error);
    }
  }

  /** The class of an object: if it cannot travel it is the object that is named. */
  classOf(holder: object, userClass: Function, depth: number): void {
    try {
      this.function(userClass, depth);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const reason = `is an instance of class ${userClass.name || "without a name"}, which cannot travel`;
      throw new Refusal(holder, reason, error.remedy, "", error.cause);
    }
  }
}

/** How many properties `in` lists: more than its own when somebody gave all objects one. */
function countIn(value: object, expected: number): number {
  if (expected > MANY_KEYS) return Object.keys(value).length;
  let count = 0;
  for (const _ in value) count++;
  return count;
}

function stays(value: Staying): Refusal {
  const { what, fix } = value[STAYS_BRAND];
  return new Refusal(value, `is ${what}`, fix);
}

function changed(value: object): Refusal {
  return new Refusal(value, "changed while it was read", "do not change it in getters or serializers");
}

/** Asks a proxy, which may be revoked or throw. */
function hasBrand(value: object): boolean {
  try {
    return REF_BRAND in value || HANDLE_BRAND in value || REDUCE_BRAND in value;
  } catch {
    return false;
  }
}
