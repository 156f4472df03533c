// Makes a payload of a function: a work list over everything it reaches, each value once.
//
// The snapshot is synchronous: nothing of the program runs while it is taken, except getters of bindings V8 hands out and
// `Symbol.for("troupe.reduce")` methods.

import { isBuiltin } from "node:module";
import { pathToFileURL } from "node:url";
import { promisify, types } from "node:util";
import { analyze, type Analysis } from "./analyze.ts";
import { draftClass } from "./classes.ts";
import { codeOf, type Draft, finishDrafts, placeOf, strictnessOf } from "./drafts.ts";
import type { FunctionView, Inspector, ScriptView } from "./inspector.ts";
import { builtinOf, globalPathOf } from "./intrinsics.ts";
import type { Modules, Reference } from "./modules.ts";
import { resolveNames } from "./names.ts";
import { joinViews, lockOf, objectNode, protoSlot } from "./objects.ts";
import { takeWeakEntries, type WeakHolder } from "./weak-entries.ts";
import type { ClassSerializer, DataHook, FunctionNode, PayloadNode, Property, Slot, TravelHook } from "./payload.ts";
import { memberStep, refusal, type Trail, variableStep } from "./refusal.ts";
import {
  HANDLE_BRAND, REDUCE_BRAND, REF_BRAND, REMOTE_CLASS_BRAND, REMOTE_FUNCTION_BRAND, serializerOf, type Staying, STAYS_BRAND,
} from "../serialize/index.ts";

export interface CaptureParts {
  /** False in a process that may not look at itself: then a function travels only as an export of a module. */
  readonly canLook: () => boolean;
  readonly inspector: () => Inspector;
  readonly modules: Modules;
  /** What revived code was made from: such objects travel as they came. */
  readonly origins: WeakMap<object, PayloadNode>;
  readonly ref: TravelHook | undefined;
  readonly handle: TravelHook | undefined;
  readonly data: DataHook | undefined;
}
/** A method or accessor that the text of a captured class makes. */
export interface MemberOf {
  readonly type: number;
  readonly fixed: boolean;
  readonly key: PropertyKey;
  readonly part: "value" | "get" | "set";
}

interface KnownClass {
  readonly index: number;
  /** Whether instances have private names, and which of them are fields. */
  readonly isPrivate: boolean;
  readonly fields: readonly string[];
}

const NATIVE = /\{\s*\[native code\]\s*\}\s*$/;
const BYTES_MAX = 64 << 20;
const LONG_TEXT = 4096;
/** Captured data above this is kept apart: the one limit that also decides what goes to the object store. */
const INLINE_BYTES = 64 * 1024;

export class Capture {
  readonly parts: CaptureParts;
  readonly mode: "auto" | "value" | "reference";
  readonly nodes: PayloadNode[] = [];
  readonly drafts: Draft[] = [];
  readonly members = new Map<Function, MemberOf>();
  /** Classes drafted so far: index and the private fields of their instances. */
  readonly classes = new Map<Function, KnownClass>();
  /** Typed arrays met so far. */
  readonly views: ArrayBufferView[] = [];
  /** WeakMaps and WeakSets met so far: what they hold of captured objects is found last. */
  readonly weak: WeakHolder[] = [];
  readonly #memo = new Map<unknown, number>();
  readonly #work: (() => void)[] = [];
  /** How instances of captured classes travel, as far as they have serializers. */
  readonly serializers: ClassSerializer[] = [];
  /** Remote functions and classes met so far: nothing of them changes. */
  readonly remotes = new Set<PayloadNode>();
  keptBytes = 0;
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  constructor(parts: CaptureParts, mode: "auto" | "value" | "reference") {
    this.parts = parts;
    this.mode = mode;
    parts.modules.refresh();
  }

  run(fn: Function, trail: Trail): Slot {
    const root = this.slot(fn, trail);
    do {
      for (let work = this.#work.pop(); work !== undefined; work = this.#work.pop()) work();
    } while (takeWeakEntries(this));
    joinViews(this);
    finishDrafts(this);
    return root;
  }

  /** Where a value is found in the payload; work for it is queued, so long chains need no stack. */
  slot(value: unknown, trail: Trail): Slot {
    if (typeof value === "symbol") return this.#symbol(value);
    if (typeof value === "string" && value.length >= LONG_TEXT) this.count(value.length, trail);
    if ((typeof value !== "object" && typeof value !== "function") || value === null) return [value];
    const known = this.#memo.get(value);
    if (known !== undefined) return known;
    const index = this.nodes.push({ k: "data", v: undefined }) - 1;
    this.#memo.set(value, index);
    // A class is drafted at once: its members must be known as its own before they are met elsewhere.
    if (typeof value === "function" && this.#isClass(value)) this.#put(index, value, trail);
    else this.#work.push(() => this.#put(index, value, trail));
    return index;
  }

  /** A value that is reached by a reference, whatever it is. */
  referenceSlot(value: unknown, reference: Reference): Slot {
    const known = this.#memo.get(value);
    if (known !== undefined) return known;
    const index = this.nodes.push(reference) - 1;
    if ((typeof value === "object" && value !== null) || typeof value === "function") this.#memo.set(value, index);
    if (typeof value === "function") this.#serializer(index, value);
    return index;
  }

  /** What the value of a slot has under a key when it is made again. */
  property(of: Slot, key: PropertyKey): number {
    return this.add({ k: "property", of, key: typeof key === "symbol" ? this.#symbol(key) : String(key) });
  }

  indexOf(value: unknown): number | undefined {
    return this.#memo.get(value);
  }

  add(node: PayloadNode): number {
    return this.nodes.push(node) - 1;
  }

  queue(work: () => void): void {
    this.#work.push(work);
  }

  /** Takes note of data that is large by itself. */
  count(bytes: number, trail: Trail): void {
    let variable = trail;
    while (variable.parent?.parent !== undefined) variable = variable.parent;
    this.#sizes.set(variable.variable, (this.#sizes.get(variable.variable) ?? 0) + bytes);
    this.#bytes += bytes;
    this.refuseLarge(this.#bytes, trail);
  }

  refuseLarge(bytes: number, trail: Trail): void {
    if (bytes <= BYTES_MAX) return;
    throw refusal("CAPTURE_TOO_LARGE", `it captures more than ${BYTES_MAX >> 20} MiB of data`, trail,
      "put() the data in the object store and capture or pass the ref.");
  }

  /** The captured variable with most data, as far as single large values tell. */
  largest(): { readonly variable: string; readonly bytes: number } | undefined {
    const [found] = [...this.#sizes].sort(([, a], [, b]) => b - a);
    return found && { variable: found[0], bytes: found[1] };
  }

  isLarge({ byteLength }: { readonly byteLength: number }): boolean {
    return this.parts.data !== undefined && byteLength > INLINE_BYTES;
  }

  /** Large data as it is now, out of what travels. */
  keep(data: ArrayBuffer | ArrayBufferView, type: string): PayloadNode {
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    this.keptBytes += bytes.length;
    const { length = bytes.length } = data as { length?: number };
    return { k: "kept", type, id: (this.parts.data as DataHook).keep(bytes), length };
  }

  /** Own properties as data, without running getters. */
  properties(value: object, keys: readonly PropertyKey[], trail: Trail): Property[] {
    const found: Property[] = [];
    for (const key of keys) {
      const descriptor = Object.getOwnPropertyDescriptor(value, key);
      if (descriptor === undefined) continue;
      const { writable, enumerable, configurable, get, set } = descriptor;
      const flags = (writable ? 1 : 0) + (enumerable ? 2 : 0) + (configurable ? 4 : 0);
      const at = memberStep(trail, key);
      const name = typeof key === "symbol" ? (this.#symbol(key) as number) : String(key);
      if (get === undefined && set === undefined) found.push({ key: name, flags, value: this.slot(descriptor.value, at) });
      else {
        found.push({
          key: name, flags,
          ...(get === undefined ? {} : { get: this.slot(get, at) }), ...(set === undefined ? {} : { set: this.slot(set, at) }),
        });
      }
    }
    return found;
  }

  #symbol(value: symbol): number {
    const known = this.#memo.get(value);
    if (known !== undefined) return known;
    const wellKnown = /^Symbol\.(\w+)$/.exec(value.description ?? "");
    const isWellKnown = wellKnown !== null && (Symbol as unknown as Record<string, unknown>)[wellKnown[1]] === value;
    const index = this.nodes.push(isWellKnown
      ? { k: "global", path: ["Symbol", wellKnown[1]] }
      : { k: "symbol", text: value.description, registered: Symbol.keyFor(value) !== undefined }) - 1;
    this.#memo.set(value, index);
    return index;
  }

  #isClass(value: Function): boolean {
    return !types.isProxy(value) && /^class\b/.test(Function.prototype.toString.call(value));
  }

  #put(index: number, value: object | Function, trail: Trail): void {
    this.nodes[index] = this.#shortcut(value, trail) ??
      (typeof value === "function" ? this.#function(index, value, trail) : objectNode(this, value, trail));
    if (typeof value === "function") this.#serializer(index, value);
  }

  /** A class takes its serializer along: code that knows the class makes instances that travel back. */
  #serializer(type: number, value: Function): void {
    const prototype: unknown = value.prototype;
    const found = typeof prototype === "object" && prototype !== null ? serializerOf(prototype) : undefined;
    if (found === undefined) return;
    const trail = { parent: undefined, step: `the serializer of ${value.name}`, variable: value.name };
    const [serialize, deserialize] = [found.serialize, found.deserialize].map((part) => this.slot(part, trail));
    this.serializers.push({ type, serialize, deserialize });
  }

  /** What is not copied: what the runtime and the language know by name, and what says itself how it travels. */
  #shortcut(value: object | Function, trail: Trail): PayloadNode | undefined {
    const origin = this.parts.origins.get(value);
    if (origin !== undefined) return origin;
    if (has(value, STAYS_BRAND)) throw staysRefusal((value as Staying)[STAYS_BRAND], trail);
    if (has(value, REF_BRAND)) return this.#hooked("ref", value, trail);
    if (has(value, HANDLE_BRAND)) return this.#hooked("handle", value, trail);
    if (types.isProxy(value)) {
      throw refusal("CAPTURE_PROXY", "it captures a Proxy, whose handler can't be seen", trail,
        "make the Proxy inside the function.");
    }
    const path = globalPathOf(value);
    if (path !== undefined) return { k: "global", path };
    const builtin = builtinOf(value);
    if (builtin !== undefined) return { k: "import", from: "", specifier: builtin.module, path: builtin.path };
    const module = this.parts.modules.exporting(value, this.mode === "value");
    if (module !== undefined) return module;
    const { [REDUCE_BRAND]: reduce } = value as { [REDUCE_BRAND]?: unknown };
    if (typeof reduce === "function") return this.#reduced(value, reduce, trail);
    const serializer = serializerOf(Object.getPrototypeOf(value) as object);
    if (serializer === undefined) return undefined;
    const args = [serializer.serialize(value as never)];
    return { k: "reduce", restore: this.slot(serializer.deserialize, trail), args: this.slot(args, trail) };
  }

  /** Whether something else than a copy of its properties makes the object again: its methods are those of that. */
  #isMadeElsewhere(value: object): boolean {
    if (types.isProxy(value)) return has(value, HANDLE_BRAND);
    return REF_BRAND in value || REDUCE_BRAND in value || this.parts.origins.has(value) ||
      serializerOf(Object.getPrototypeOf(value) as object) !== undefined;
  }

  #hooked(kind: "ref" | "handle", value: object, trail: Trail): PayloadNode {
    const hook = this.parts[kind];
    if (hook !== undefined) return { k: "hook", kind, bytes: hook.encode(value) };
    const what = kind === "ref" ? "an ObjectRef" : "an actor handle";
    throw refusal("CAPTURE_HANDLE", `it captures ${what}`, trail, "pass it as an argument of the call.");
  }

  #reduced(value: object, reduce: Function, trail: Trail): PayloadNode {
    const [restore, args] = reduce.call(value) as readonly [Function, readonly unknown[]];
    const node: PayloadNode = { k: "reduce", restore: this.slot(restore, trail), args: this.slot(args, trail) };
    if (REMOTE_FUNCTION_BRAND in value || REMOTE_CLASS_BRAND in value) this.remotes.add(node);
    return node;
  }

  #function(index: number, fn: Function, trail: Trail): PayloadNode {
    const member = this.members.get(fn);
    if (member !== undefined) {
      const key = typeof member.key === "symbol" ? this.#symbol(member.key) : String(member.key);
      return { k: "member", type: member.type, fixed: member.fixed, key, part: member.part };
    }
    if (!this.parts.canLook()) return this.#exportOnly(fn, trail);
    const text = Function.prototype.toString.call(fn);
    const view = this.parts.inspector().lookAt(fn);
    if (view.bound !== undefined) return this.#bound(view.bound, trail);
    const script = view.location === undefined ? undefined : this.parts.inspector().script(view.location.scriptId);
    const require = isRequire(fn) ? this.#require(fn, view) : undefined;
    if (require !== undefined) return require;
    if (NATIVE.test(text) || script === undefined || script.url.startsWith("node:")) {
      const remade = this.#promisified(fn, view, trail);
      if (remade !== undefined) return remade;
      throw nativeRefusal(fn, script, trail);
    }
    const reference = this.parts.modules.exported(fn, script, view.scopes, this.mode === "value");
    if (reference !== undefined) return reference;
    if (this.mode === "reference" && trail.parent === undefined) {
      throw refusal("CAPTURE_MISSING_NAME", "no module that a worker can import exports it", trail,
        "export it from a module that is not the program's entry, or use capture: 'auto'.");
    }
    const analysis = analyze(text);
    if (analysis === undefined) {
      throw refusal("CAPTURE_NATIVE", "its source text can't be read as JavaScript", trail,
        "export it from a module of its own.");
    }
    const { position, offset } = placeOf(text, view.location as NonNullable<typeof view.location>, script);
    if (analysis.kind === "class") return draftClass(this, { index, type: fn, text, view, script, trail, position, offset });
    return this.#plain(index, fn, { text, analysis, view, script, trail, position, offset });
  }

  #exportOnly(fn: Function, trail: Trail): PayloadNode {
    const reference = this.mode === "value" ? undefined : this.parts.modules.found(fn);
    if (reference !== undefined) return reference;
    const what = "this process has no inspector, and no module that a worker can import exports it";
    throw refusal("CAPTURE_NO_INSPECTOR", what, trail,
      "export it from a module other than the program's entry, or run Node.js with --allow-inspector.");
  }

  /** What promisify of Node made, and makes again in the worker. */
  #promisified(fn: Function, { scopes }: FunctionView, trail: Trail): PayloadNode | undefined {
    const original = variableOf(scopes, "original");
    if (typeof original !== "function" || Object.getOwnPropertyDescriptor(fn, promisify.custom)?.value !== fn) return undefined;
    return { k: "reduce", restore: this.slot(promisify, trail), args: this.slot([original], trail) };
  }

  /** The `require` of a module, or one that a test runner made around it. */
  #require(fn: Function, { scopes }: FunctionView): PayloadNode | undefined {
    const { filename } = (variableOf(scopes, "mod") ?? {}) as { filename?: unknown };
    if (typeof filename === "string") return { k: "require", url: pathToFileURL(filename).href };
    const { resolve } = fn as { resolve?: unknown };
    const inspector = this.parts.inspector();
    const inner = typeof resolve === "function" ? variableOf(inspector.lookAt(resolve).scopes, "_require") : undefined;
    return isRequire(inner) && inner !== fn ? this.#require(inner, inspector.lookAt(inner)) : undefined;
  }

  #plain(index: number, fn: Function, source: FunctionSource): FunctionNode {
    const { text, analysis, view, script, trail, position, offset } = source;
    refuseSurroundings(analysis, trail);
    const draft: Draft = { index, text, analysis, script, offset, trail, names: [], edits: [], position };
    this.drafts.push(draft);
    if (analysis.computedKey !== undefined) draft.edits.push({ ...analysis.computedKey, text: '["method"]', bracketed: true });
    resolveNames(this, draft, view.scopes);
    const own = Reflect.ownKeys(fn).filter((key) => !IMPLIED.has(key));
    const props = this.properties(fn, own, trail);
    const proto = Object.getPrototypeOf(fn) as object | null;
    const usual = proto !== null && globalPathOf(proto) !== undefined;
    const prototype = prototypeOf(fn);
    return {
      ...codeOf(draft, strictnessOf(analysis, script)),
      k: "fn",
      name: nameOf(fn),
      ...(props.length === 0 ? {} : { props }),
      ...(prototype === undefined ? {} : { prototype: this.slot(prototype, memberStep(trail, "prototype")) }),
      ...(usual ? {} : { proto: protoSlot(this, fn, trail) }),
      ...lockOf(fn),
    };
  }

  #bound(bound: { target: Function; self: unknown; args: readonly unknown[] }, trail: Trail): PayloadNode {
    const { target, self, args } = bound;
    const isObject = (typeof self === "object" && self !== null) || typeof self === "function";
    const key = isObject && this.#isMadeElsewhere(self) ? keyOf(self, target) : undefined;
    // The class of `this` first: its methods then travel as members of it.
    if (isObject && key === undefined) this.slot(constructorOf(self) ?? self, trail);
    return {
      k: "bound",
      target: key === undefined
        ? this.slot(target, variableStep(trail, target.name || "target"))
        : this.property(this.slot(self, variableStep(trail, "this")), key),
      self: this.slot(self, variableStep(trail, "this")),
      args: args.map((arg, at) => this.slot(arg, memberStep(trail, at))),
    };
  }
}

/** Whether an object has a brand; a Proxy may be revoked, or throw whatever it is asked. */
function has(value: object, brand: symbol): boolean {
  try {
    return brand in value;
  } catch {
    return false;
  }
}

function isRequire(value: unknown): value is Function {
  return typeof value === "function" && value.name === "require" && "cache" in value;
}

function variableOf(scopes: FunctionView["scopes"], name: string): unknown {
  return (scopes.find(({ values }) => name in values)?.values as Record<string, unknown> | undefined)?.[name];
}

interface FunctionSource {
  readonly text: string;
  readonly analysis: Analysis;
  readonly view: FunctionView;
  readonly script: ScriptView;
  readonly trail: Trail;
  readonly position: FunctionNode["position"];
  readonly offset: number;
}

/** Properties of functions that every function has, or that are set in another way. */
const IMPLIED = new Set<PropertyKey>(["length", "name", "prototype", "arguments", "caller"]);

export function nameOf(fn: Function): string | undefined {
  const name: unknown = Object.getOwnPropertyDescriptor(fn, "name")?.value;
  return typeof name === "string" ? name : undefined;
}

/** The key under which an object has a function, itself or from its prototypes. */
function keyOf(value: object, fn: Function): PropertyKey | undefined {
  for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const key = Reflect.ownKeys(at).find((one) => Object.getOwnPropertyDescriptor(at as object, one)?.value === fn);
    if (key !== undefined) return key;
  }
  return undefined;
}

function constructorOf(value: object): Function | undefined {
  const proto = Object.getPrototypeOf(value) as object | null;
  const type: unknown = proto === null ? undefined : Object.getOwnPropertyDescriptor(proto, "constructor")?.value;
  return typeof type === "function" && globalPathOf(type) === undefined ? type : undefined;
}

/** The `prototype` of a constructor function when a program gave it members; a fresh one is made by evaluation. */
function prototypeOf(fn: Function): object | undefined {
  const value: unknown = Object.getOwnPropertyDescriptor(fn, "prototype")?.value;
  if (typeof value !== "object" || value === null) return undefined;
  const keys = Reflect.ownKeys(value);
  const above = Object.getPrototypeOf(value) as object | null;
  const path = above === null ? undefined : globalPathOf(above);
  // Generators have prototypes of their own kind.
  const isUsual = path?.join(".") === "Object.prototype" || path?.[0].startsWith("%") === true;
  const isFresh = isUsual && keys.every((key) => key === "constructor");
  return isFresh && (keys.length === 0 || (value as { constructor: unknown }).constructor === fn) ? undefined : value;
}

function staysRefusal({ what, fix }: Staying[typeof STAYS_BRAND], trail: Trail): Error {
  return refusal("CAPTURE_HANDLE", `it captures ${what}`, trail, `${fix}.`);
}

function nativeRefusal(fn: Function, script: ScriptView | undefined, trail: Trail): Error {
  const from = script?.url.startsWith("node:") && isBuiltin(script.url) ? ` of ${script.url}` : "";
  const what = `it captures the native function "${fn.name || "anonymous"}"${from}, which has no source`;
  return refusal("CAPTURE_NATIVE", what, trail,
    "call it inside the function by its own name, or import it there.");
}

export function refuseSurroundings(analysis: Analysis, trail: Trail): void {
  if (analysis.usesEval) {
    throw refusal("CAPTURE_EVAL", "it calls eval, so the variables it uses can't be known", trail,
      "use (0, eval)(text), or no eval.");
  }
  if (analysis.usesThis || analysis.usesNewTarget) {
    throw refusal("CAPTURE_THIS", "it is an arrow function that uses `this` of the function or class around it", trail,
      "pass what it needs as an argument, copy it to a const first, or make a field's arrow function a method.");
  }
  if (analysis.usesSuper) {
    throw refusal("CAPTURE_THIS", "it is a method that uses `super`, of an object or taken out of its class", trail,
      "capture the class, and call the method on it; in an object, name the other object instead of super.");
  }
  const [name] = analysis.privates;
  if (name !== undefined || analysis.wrap === "private-method") {
    throw refusal("CAPTURE_PRIVATE", `it uses the private name #${name ?? "method"} of a class around it`, trail,
      "capture the class or an instance, and call a public method.");
  }
}
