// Values that functions capture, by kind. Objects with state that JavaScript can't see are refused by name, never copied as {}.

import { types } from "node:util";
import { isContext } from "node:vm";
import { hasPrivateNames } from "./analyze.ts";
import type { Capture } from "./capture.ts";
import { builtinOf, globalPathOf } from "./intrinsics.ts";
import type { ObjectBuild, PayloadNode, PrivateValues, Slot } from "./payload.ts";
import { memberStep, refusal, type Trail } from "./refusal.ts";
import { weakBuild } from "./weak-entries.ts";

const proto = (value: object): object | null => Object.getPrototypeOf(value) as object | null;

export function objectNode(capture: Capture, value: object, trail: Trail): PayloadNode {
  refuseOpaque(capture, value, trail);
  if (types.isSymbolObject(value)) {
    return { k: "reduce", restore: capture.slot(Object, trail), args: capture.slot([value.valueOf()], trail) };
  }
  const text = textCoder(capture, value, trail);
  if (text !== undefined) return text;
  if (isMemoized(value)) return memoizedNode(capture, value, trail);
  const data = dataOf(capture, value, trail);
  if (data !== undefined) return keptApart(capture, data) ?? { k: "data", v: data };
  if (isUrl(value)) return { k: "url", type: value instanceof URL ? "URL" : "URLSearchParams", text: String(value) };
  if (types.isModuleNamespaceObject(value)) {
    const members = value as Record<string, unknown>;
    const props = Object.keys(members).map((key) => (
      { key, flags: 7, value: capture.slot(members[key], memberStep(trail, key)) }
    ));
    return { k: "object", proto: [null], build: { as: "null" }, props };
  }
  const base = protoSlot(capture, value, trail);
  const privates = privatesOf(capture, value, trail);
  const build = buildOf(capture, value, trail);
  const keys = Reflect.ownKeys(value).filter((key) => !isOfBuild(value, key));
  const { props = [], lock } = extras(capture, value, keys, trail);
  // V8's `stack` may be an accessor of the instance; its text is what travels.
  const stack = types.isNativeError(value) ? [{ key: "stack", flags: 5, value: [value.stack] as const }] : [];
  const all = [...props, ...stack];
  return {
    k: "object", proto: base,
    ...(build === undefined ? {} : { build }), ...(privates === undefined ? {} : { privates }),
    ...(all.length === 0 ? {} : { props: all }), ...(lock === undefined ? {} : { lock }),
  };
}

/** Text encoders and decoders are made again by what they were made from. */
function textCoder(capture: Capture, value: object, trail: Trail): PayloadNode | undefined {
  const above = proto(value);
  if (above !== TextDecoder.prototype && above !== TextEncoder.prototype) return undefined;
  const { encoding, fatal, ignoreBOM } = value as InstanceType<typeof TextDecoder>;
  const args = above === TextEncoder.prototype ? [TextEncoder, []] : [TextDecoder, [encoding, { fatal, ignoreBOM }]];
  return { k: "reduce", restore: capture.slot(Reflect.construct, trail), args: capture.slot(args, trail) };
}

interface Memoized {
  unmemoize(): { memoize(): object };
}

function isMemoized(value: object): value is Memoized {
  return Object.getOwnPropertyDescriptor(value, "isMemoized")?.value === true && Object.hasOwn(value, "unmemoize");
}

/** An Arrow vector that keeps what it decoded: the cache is made of closures over the vector, so it is begun anew. */
function memoizedNode(capture: Capture, value: Memoized, trail: Trail): PayloadNode {
  const plain = capture.slot(value.unmemoize(), trail);
  const args = [capture.property(plain, "memoize"), plain, capture.slot([], trail)];
  const props = args.map((arg, at) => ({ key: String(at), flags: 7, value: arg }));
  const build = { as: "array", length: args.length } as const;
  const list = capture.add({ k: "object", proto: capture.slot(Array.prototype, trail), build, props });
  return { k: "reduce", restore: capture.slot(Reflect.apply, trail), args: list };
}

/** Kinds of the language with contents that are no properties. */
function buildOf(capture: Capture, value: object, trail: Trail): ObjectBuild | undefined {
  if (Array.isArray(value)) return { as: "array", length: value.length };
  if (types.isArgumentsObject(value)) return { as: "arguments", length: (value as unknown as ArrayLike<unknown>).length };
  if (types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value)) return { as: "data", v: value };
  if (types.isNativeError(value)) return { as: "error" };
  if (types.isMap(value)) {
    const entries: [Slot, Slot][] = [];
    for (const [key, item] of Map.prototype.entries.call(value) as IterableIterator<[unknown, unknown]>) {
      const at = memberStep(trail, typeof key === "string" || typeof key === "number" ? key : "entry");
      entries.push([capture.slot(key, at), capture.slot(item, at)]);
    }
    return { as: "map", entries };
  }
  if (types.isWeakMap(value) || types.isWeakSet(value)) return weakBuild(capture, value, trail);
  if (!types.isSet(value)) return undefined;
  const items = [...(Set.prototype.values.call(value) as IterableIterator<unknown>)];
  return { as: "set", entries: items.map((item) => capture.slot(item, trail)) };
}

/** Own keys that making the value gives it. */
function isOfBuild(value: object, key: PropertyKey): boolean {
  if (key === "length") return Array.isArray(value) || types.isStringObject(value);
  if (key === "stack") return types.isNativeError(value);
  if (key === "callee" || key === Symbol.iterator) return types.isArgumentsObject(value);
  return types.isStringObject(value) && typeof key === "string" && /^\d+$/.test(key);
}

function extras(capture: Capture, value: object, keys: readonly PropertyKey[], trail: Trail) {
  const props = capture.properties(value, keys, trail);
  return { ...(props.length === 0 ? {} : { props }), ...lockOf(value) };
}

/** How far an object is closed to changes. */
export function lockOf(value: object): { readonly lock?: number } {
  return Object.isExtensible(value) ? {} : { lock: Object.isFrozen(value) ? 3 : Object.isSealed(value) ? 2 : 1 };
}

/** The prototype of an object or function. */
export function protoSlot(capture: Capture, value: object, trail: Trail): Slot {
  const above = proto(value);
  if (above === null) return [null];
  const type: unknown = Object.getOwnPropertyDescriptor(above, "constructor")?.value;
  // Through the class, so that the worker's prototype is the one that evaluating the class makes.
  if (typeof type === "function" && globalPathOf(above) === undefined && (type as { prototype?: unknown }).prototype === above) {
    const index = capture.slot(type, memberStep(trail, "constructor")) as number;
    return capture.add({ k: "member", type: index, fixed: true, key: "prototype", part: "value" });
  }
  return capture.slot(above, trail);
}

/** Private names, class by class from the topmost; undefined when no class of the value has any. */
function privatesOf(capture: Capture, value: object, trail: Trail): PrivateValues | undefined {
  const own: { index: number; fields: readonly string[] }[] = [];
  for (let at = proto(value); at !== null; at = proto(at)) {
    const type: unknown = Object.getOwnPropertyDescriptor(at, "constructor")?.value;
    // The prototype itself is no instance.
    if (typeof type !== "function" || (type as { prototype?: unknown }).prototype === value) continue;
    const known = capture.classes.get(type);
    if (known?.isPrivate === true) own.unshift(known);
    if (known === undefined && isSealedClass(type)) {
      throw refusal("CAPTURE_PRIVATE", `it captures an instance of ${type.name}, a class with private fields that workers import`,
        trail, "create it inside the function, or pass it as an argument.");
    }
  }
  if (own.length === 0) return undefined;
  // V8 lists fields in the order they were made: those of a class before those of its subclasses, which may have the same names.
  const listed = new Map<string, unknown[]>();
  if (own.some(({ fields }) => fields.length > 0)) {
    for (const [name, field] of capture.parts.inspector().privates(value)) listed.set(name, [...(listed.get(name) ?? []), field]);
  }
  const privates = own.map(({ index, fields }) => ({
    type: index,
    values: fields.filter((name) => (listed.get(name)?.length ?? 0) > 0)
      .map((name): [string, Slot] => [name, capture.slot(listed.get(name)?.shift(), memberStep(trail, name))]),
  }));
  const left = [...listed].find(([, fields]) => fields.length > 0);
  if (left === undefined) return privates;
  throw refusal("CAPTURE_PRIVATE", `it captures an object with the private field ${left[0]} of a class it is no instance of`,
    trail, "create it inside the function.");
}

const sealedClasses = new WeakMap<Function, boolean>();

/** Whether instances of a class have private names: no other process can give them to an object. */
function isSealedClass(type: Function): boolean {
  let known = sealedClasses.get(type);
  if (known === undefined) {
    const text = Function.prototype.toString.call(type);
    known = /^class\b/.test(text) && text.includes("#") && hasPrivateNames(text);
    sealedClasses.set(type, known);
  }
  return known;
}

/** Large data goes where all workers of a node share it; undefined for what is small, or may still join others. */
function keptApart(capture: Capture, data: object): PayloadNode | undefined {
  const isWhole = Buffer.isBuffer(data) || types.isArrayBuffer(data);
  return isWhole && capture.isLarge(data) ? capture.keep(data, Buffer.isBuffer(data) ? "Buffer" : "ArrayBuffer") : undefined;
}

/** What the engine's own clone keeps exactly: leaves without references to anything else. */
function dataOf(capture: Capture, value: object, trail: Trail): object | undefined {
  if (ArrayBuffer.isView(value)) {
    refuseBuffer(value.buffer, trail);
    capture.count(value.byteLength, trail);
    const usual = globalPathOf(proto(value) as object) !== undefined || Buffer.isBuffer(value);
    if (!usual) {
      throw refusal("CAPTURE_NATIVE", "it captures an instance of a subclass of a typed array", trail,
        "capture a plain typed array.");
    }
    if (Buffer.isBuffer(value)) return Buffer.from(value);
    capture.views.push(value);
    // What joins or keeps it apart later makes its node.
    if (capture.isLarge(value)) return value;
    // A copy of the viewed part only: the buffer behind a view may be far larger.
    const part = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
    if (value instanceof DataView) return new DataView(part);
    return new (value.constructor as new (buffer: ArrayBufferLike) => object)(part);
  }
  if (types.isArrayBuffer(value)) {
    capture.count(value.byteLength, trail);
    return value;
  }
  const above = proto(value);
  const isPlainKind = above !== null && globalPathOf(above) !== undefined;
  if ((types.isDate(value) || types.isRegExp(value) || types.isBoxedPrimitive(value)) && isPlainKind) {
    const expected = types.isRegExp(value) ? 1 : types.isStringObject(value) ? value.length + 1 : 0;
    if (Reflect.ownKeys(value).length === expected && !(types.isRegExp(value) && value.lastIndex !== 0)) return value;
  }
  return undefined;
}

/** Objects of the engine or of Node that hold what no copy can. */
function refuseOpaque(capture: Capture, value: object, trail: Trail): void {
  refuseBuffer(value, trail);
  if (types.isPromise(value)) {
    throw refusal("CAPTURE_PROMISE", "it captures a Promise", trail, "await it first, or pass the ObjectRef.");
  }
  const opaque = opaqueKind(value);
  if (opaque !== undefined) {
    throw refusal("CAPTURE_NATIVE", `it captures ${opaque}, whose contents can't be seen`, trail,
      "create it inside the function.");
  }
  if (COPIED.some((isOne) => isOne(value)) && !(value instanceof DOMException)) return;
  for (let at = proto(value); at !== null; at = proto(at)) {
    const name = opaqueClass(capture, at, value);
    if (name !== undefined) {
      const shown = (value.constructor as Function | undefined)?.name || name;
      throw refusal("CAPTURE_HANDLE", `it captures an object of Node's class ${shown}`, trail,
        "create it inside the function, or keep it in an actor.");
    }
  }
}

function isIterator(value: object): boolean {
  const [root, ...rest] = globalPathOf(proto(value) ?? value) ?? [];
  return rest.length === 0 && /^%(?:Array|String|Map|Set)IteratorPrototype%$/.test(root ?? "");
}

/** Memory that a copy would not be the same as. */
function refuseBuffer(value: object, trail: Trail): void {
  if (types.isSharedArrayBuffer(value)) {
    throw refusal("CAPTURE_NATIVE", "it captures a SharedArrayBuffer, which processes can't share", trail,
      "put() the data in the object store.");
  }
  if (!types.isArrayBuffer(value)) return;
  const what = isDetached(value) ? "an ArrayBuffer that was transferred to somebody else"
    : (value as { resizable?: boolean }).resizable === true ? "an ArrayBuffer that can be resized"
    // Test runners have several globals, each with an ArrayBuffer of its own.
    : Object.hasOwn(proto(value) ?? value, "byteLength") ? undefined : "an instance of a subclass of ArrayBuffer";
  if (what !== undefined) throw refusal("CAPTURE_NATIVE", `it captures ${what}`, trail, "capture a plain copy of the data.");
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    return new Uint8Array(buffer).byteLength !== buffer.byteLength;
  } catch {
    return true;
  }
}

/** Typed arrays on one buffer stay on one buffer. Node's Buffers are not among them: many share a pool with strangers. */
export function joinViews(capture: Capture): void {
  const byBuffer = new Map<ArrayBufferLike, (ArrayBufferView & { length?: number })[]>();
  for (const view of capture.views) byBuffer.set(view.buffer, [...(byBuffer.get(view.buffer) ?? []), view]);
  for (const [whole, views] of byBuffer) {
    const known = capture.indexOf(whole);
    const node = (view: ArrayBufferView): number => capture.indexOf(view) as number;
    if (views.length === 1 && known === undefined) {
      if (capture.isLarge(views[0])) capture.nodes[node(views[0])] = capture.keep(views[0], kindOf(views[0]));
      continue;
    }
    const data = whole as ArrayBuffer;
    const buffer = known ?? capture.add(keptApart(capture, data) ?? { k: "data", v: data });
    for (const view of views) {
      const { byteOffset: offset, byteLength, length = byteLength } = view;
      capture.nodes[node(view)] = { k: "view", type: kindOf(view), buffer, offset, length };
    }
  }
}

function kindOf(view: ArrayBufferView): string {
  return view instanceof DataView ? "DataView" : (view as Uint8Array)[Symbol.toStringTag];
}

function opaqueKind(value: object): string | undefined {
  if (types.isGeneratorObject(value)) return "a running generator";
  if (isIterator(value)) return "an iterator";
  if (isContext(value)) return "a context of node:vm";
  return types.isExternal(value) ? "a native pointer" : undefined;
}

/** Kinds with state inside the engine that is copied all the same. */
const COPIED: readonly ((value: unknown) => boolean)[] = [
  Array.isArray,
  types.isMap,
  types.isSet,
  types.isWeakMap,
  types.isWeakSet,
  types.isNativeError,
  types.isDate,
  types.isRegExp,
  types.isBoxedPrimitive,
  ArrayBuffer.isView,
  types.isAnyArrayBuffer,
  isUrl,
  isTextCoder,
];

function isTextCoder(value: unknown): boolean {
  return value instanceof TextDecoder || value instanceof TextEncoder;
}

function isUrl(value: unknown): value is URL | URLSearchParams {
  if (typeof value !== "object" || value === null) return false;
  const above = proto(value);
  return above === URL.prototype || above === URLSearchParams.prototype;
}

/** Classes of Node whose instances are plain objects, so that instances of their subclasses can be copied. */
const PLAIN_BASES = new Set(["EventEmitter", "Module"]);
/** Classes of the language whose instances were told by their kind before: what only inherits from them is a plain object. */
const TOLD = new Set((
  "Array ArrayBuffer BigInt BigInt64Array BigUint64Array Boolean DataView Date Error AggregateError EvalError Float16Array " +
  "Float32Array Float64Array Int16Array Int32Array Int8Array Map Number Object Promise RangeError ReferenceError RegExp Set " +
  "SharedArrayBuffer String Symbol SyntaxError TypeError URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray " +
  "WeakMap WeakSet"
).split(" "));

/** The name of the class of a prototype when its instances have state inside the engine or belong to Node. */
function opaqueClass(capture: Capture, above: object, value: object): string | undefined {
  const type: unknown = Object.getOwnPropertyDescriptor(above, "constructor")?.value;
  if (typeof type !== "function") return undefined;
  // A prototype itself is a plain object.
  if (Object.prototype.hasOwnProperty.call(value, "constructor")) return undefined;
  const path = globalPathOf(type);
  if (path?.length === 1 ? TOLD.has(path[0]) : path === undefined && PLAIN_BASES.has(type.name)) return undefined;
  if (path?.[0] === "Iterator" || path?.[0].startsWith("%") === true) return undefined;
  return path !== undefined || builtinOf(type) !== undefined || isOfNode(capture, type) ? type.name : undefined;
}

const ofNode = new WeakMap<Function, boolean>();

/** Whether a class is Node's or the engine's own, exported or not. */
function isOfNode(capture: Capture, type: Function): boolean {
  let known = ofNode.get(type);
  if (known === undefined) {
    const { location } = capture.parts.inspector().lookAt(type);
    known = location === undefined || capture.parts.inspector().script(location.scriptId)?.url.startsWith("node:") === true;
    ofNode.set(type, known);
  }
  return known;
}
