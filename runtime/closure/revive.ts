// Makes a payload a function again: imports first, then every node, then what nodes say of one another.
//
// A node is made empty and filled later, so cycles need no order. Only a class needs its parent first, a bound function its
// parts, and a value that restores itself its arguments.

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { compileFunction, constants } from "node:vm";
import { NotFoundError, TroupeError } from "../errors.ts";
import type { KnownClasses } from "./identity.ts";
import { builtinStep, globalAt } from "./intrinsics.ts";
import { partsOf } from "./parts.ts";
import { COMPILED_MARK, ownUrlOf } from "./modules.ts";
import { compiledName } from "./stacks.ts";
import {
  type ClassNode, type CodeText, type DataHook, type FunctionNode, type Key, type ObjectBuild, type Payload, type PayloadNode,
  type PrivateValues, type Property, RUNTIME_NAME, type Slot, type TravelHook,
} from "./payload.ts";
import { learnSerializer } from "../serialize/index.ts";

/** What a compiled text sees as its runtime. */
interface TextRuntime {
  blank: boolean;
  parent: unknown;
  keys: unknown[];
  bind: (values: readonly unknown[]) => void;
  set: ((target: object, name: string, value: unknown) => void) | undefined;
  /** WeakMaps and WeakSets of a class, by what it calls them: compilers keep private fields there. */
  weak: Map<string, object>;
}
export interface ReviveParts {
  readonly ref: TravelHook | undefined;
  readonly handle: TravelHook | undefined;
  readonly data: DataHook | undefined;
  readonly origins: WeakMap<object, PayloadNode>;
  readonly classes: KnownClasses;
}

const importFunctions = new Map<string, (specifier: string) => Promise<unknown>>();

/** `import()` as a file does it, so that bare specifiers resolve from its folder. */
function importFrom(url: string): (specifier: string) => Promise<unknown> {
  let found = importFunctions.get(url);
  if (found === undefined) {
    quietImports();
    found = compileFunction("return import(specifier)", ["specifier"], compileOptions(url)) as typeof found & Function;
    importFunctions.set(url, found);
  }
  return found;
}

/** Says that the way `import()` of shipped code works is experimental in this Node release. Users can't act on that. */
let isQuiet = false;
function quietImports(): void {
  if (isQuiet) return;
  isQuiet = true;
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    const first = compileFunction('return import("node:os")', [], compileOptions(import.meta.url)) as () => Promise<unknown>;
    void first();
  } finally {
    process.emitWarning = emitWarning;
  }
}

function compileOptions(filename: string): { filename: string; importModuleDynamically: number } {
  const { USE_MAIN_CONTEXT_DEFAULT_LOADER } = constants as unknown as { USE_MAIN_CONTEXT_DEFAULT_LOADER: number };
  return { filename, importModuleDynamically: USE_MAIN_CONTEXT_DEFAULT_LOADER };
}

export class Revival {
  readonly #payload: Payload;
  readonly #parts: ReviveParts;
  readonly #made: unknown[] = [];
  readonly #isMade: boolean[] = [];
  readonly #isFilled: boolean[] = [];
  readonly #todo: number[] = [];
  readonly #runtimes = new Map<number, TextRuntime>();
  readonly #namespaces = new Map<number, unknown>();
  readonly #buffers = new Map<number, ArrayBuffer>();

  constructor(payload: Payload, parts: ReviveParts) {
    this.#payload = payload;
    this.#parts = parts;
  }

  async run(): Promise<Function> {
    const { nodes, root } = this.#payload;
    for (const [index, node] of nodes.entries()) {
      if (node.k === "import" || node.k === "own") this.#namespaces.set(index, await this.#load(node));
      else if (node.k === "kept") this.#buffers.set(index, await this.#dataOf(node));
    }
    this.#adoptWeak();
    const value = this.#at(root);
    const serializers = (this.#payload.serializers ?? []).map(({ type, serialize, deserialize }) => ({
      Class: this.#at(type) as Function,
      serialize: this.#at(serialize) as (value: never) => unknown,
      deserialize: this.#at(deserialize) as (payload: never) => unknown,
    }));
    for (let index = this.#todo.pop(); index !== undefined; index = this.#todo.pop()) this.#fill(index);
    for (const serializer of serializers) learnSerializer(serializer);
    return value as Function;
  }

  async #load(node: PayloadNode & { k: "import" | "own" }): Promise<unknown> {
    const specifier = node.k === "own" ? ownUrlOf(node.file) : node.specifier;
    let at: unknown;
    try {
      at = node.k === "own" || node.from === "" ? await import(specifier) : await importFrom(node.from)(specifier);
    } catch (error) {
      const name = node.path.length === 0 ? "" : ` (for its export "${node.path.join(".")}")`;
      const text = `${this.#payload.label} needs module "${specifier}"${name}, which can't be loaded here`;
      throw new NotFoundError(text, { specifier }, error);
    }
    for (const step of node.path) {
      const from: unknown = at;
      const key = builtinStep(step);
      if ((typeof from !== "object" && typeof from !== "function") || from === null || !(key in from)) {
        const text = `${this.#payload.label} needs "${node.path.join(".")}" of module "${specifier}", which doesn't export it`;
        throw new NotFoundError(text, { specifier });
      }
      at = (from as Record<PropertyKey, unknown>)[key];
    }
    if ((typeof at === "object" && at !== null) || typeof at === "function") this.#parts.origins.set(at, node);
    return at;
  }

  /** Classes that are here already look their instances up in WeakMaps of their own. */
  #adoptWeak(): void {
    for (const node of this.#payload.nodes) {
      const known = node.k === "class" ? (this.#parts.classes.find(node)?.runtime as TextRuntime | undefined) : undefined;
      if (known === undefined) continue;
      for (const [label, slot] of this.#weakOf(node)) {
        const own = known.weak.get(label);
        if (own === undefined || this.#isMade[slot]) continue;
        this.#made[slot] = own;
        this.#isMade[slot] = true;
        this.#todo.push(slot);
      }
    }
  }

  #weakOf(node: PayloadNode): [label: string, slot: number][] {
    return partsOf(node).edges.flatMap(([label, slot]): [string, number][] => {
      const target = typeof slot === "number" ? this.#payload.nodes[slot] : undefined;
      return target?.k === "object" && /^weak/.test(target.build?.as ?? "") ? [[label, slot as number]] : [];
    });
  }

  #dataOf({ id }: PayloadNode & { k: "kept" }): Promise<ArrayBuffer> {
    const { data } = this.#parts;
    if (data !== undefined) return data.load(id);
    throw new TroupeError(`${this.#payload.label} comes with large data, which this process has no way to read`);
  }

  #at(slot: Slot): unknown {
    if (typeof slot !== "number") return slot[0];
    if (!this.#isMade[slot]) {
      const made = this.#make(slot);
      // A function whose prototype leads back to it is made by then.
      if (!this.#isMade[slot]) {
        this.#made[slot] = made;
        this.#isMade[slot] = true;
        this.#todo.push(slot);
      }
    }
    return this.#made[slot];
  }

  #key(key: Key): PropertyKey {
    return typeof key === "string" ? key : (this.#at(key) as symbol);
  }

  #make(index: number): unknown {
    const node = this.#payload.nodes[index];
    switch (node.k) {
      case "data": return ownCopy(node.v);
      case "global": return globalAt(node.path);
      case "import": case "own": return this.#namespaces.get(index);
      case "view": return viewOf({ ...node, buffer: this.#at(node.buffer) as ArrayBuffer });
      case "kept": return viewOf({ ...node, offset: 0, buffer: this.#buffers.get(index) as ArrayBuffer });
      case "url": return node.type === "URL" ? new URL(node.text) : new URLSearchParams(node.text);
      case "symbol": return node.registered ? Symbol.for(node.text as string) : Symbol(node.text);
      case "fn": return this.#makeFunction(index, node);
      case "class": return this.#makeClass(index, node);
      case "object": return this.#makeObject(node);
      case "bound": return this.#makeBound(node);
      case "member": return this.#member(node);
      case "property": return (this.#at(node.of) as Record<PropertyKey, unknown>)[this.#key(node.key)];
      case "reduce": return this.#restore(node);
      case "hook": return this.#hooked(node);
      case "meta": case "require": case "module": return this.#given(node);
      case "vite-import": return this.#viteImport(node);
    }
  }

  #compile(index: number, code: CodeText): unknown {
    const names = code.names.map(([name]) => name);
    const { file, line, column } = code.position;
    // No name that a program has: minifiers use all short ones.
    const values = `${RUNTIME_NAME}_values`;
    const all = names.join(",");
    const declare = names.length === 0 ? "" : `var ${all};${RUNTIME_NAME}.bind=(${values})=>{[${all}]=${values}};`;
    const head = `${COMPILED_MARK}${code.strict ? '"use strict";' : ""}${declare}return ${code.before}`;
    const runtime: TextRuntime = { blank: false, parent: undefined, keys: [], bind: () => {}, set: undefined, weak: new Map() };
    const node = this.#payload.nodes[index];
    if (node.k === "class") {
      if (node.parent !== undefined) runtime.parent = this.#at(node.parent);
      runtime.keys = node.keys.map((key) => this.#at(key));
    }
    this.#runtimes.set(index, runtime);
    if (code.text.includes("import")) quietImports();
    const name = compiledName(file, code.text, code.map);
    const options = { ...compileOptions(name), lineOffset: line, columnOffset: column - head.length };
    return compileFunction(`${head}${code.text}${code.after}`, [RUNTIME_NAME], options)(runtime) as unknown;
  }

  #makeFunction(index: number, node: FunctionNode): Function {
    const made = this.#compile(index, node);
    const fn = typeof made === "function" ? made : methodOf(made as object);
    setName(fn, node.name);
    if (node.prototype === undefined) return fn;
    // Before anything extends it: a class looks at the prototype of its parent once.
    this.#made[index] = fn;
    this.#isMade[index] = true;
    this.#todo.push(index);
    Object.defineProperty(fn, "prototype", { value: this.#at(node.prototype) });
    return fn;
  }

  #makeClass(index: number, node: ClassNode): Function {
    const known = this.#parts.classes.find(node);
    if (known !== undefined && (known.runtime !== undefined || !this.#hasPrivateInstances(index))) {
      this.#isFilled[index] = true;
      if (known.runtime !== undefined) this.#runtimes.set(index, known.runtime as TextRuntime);
      return known.type;
    }
    const type = this.#compile(index, node) as Function;
    setName(type, node.name);
    // The class keeps its runtime alive through its own text.
    this.#parts.classes.revived(type, node, this.#runtimes.get(index) as TextRuntime);
    return type;
  }

  /** A class of this process has no way in for private fields: instances need the class that the payload makes. */
  #hasPrivateInstances(index: number): boolean {
    const { nodes } = this.#payload;
    const weak = this.#weakOf(nodes[index]).map(([, slot]) => nodes[slot] as PayloadNode & { k: "object" });
    if (weak.some(({ build }) => (build as { entries: readonly unknown[] }).entries.length > 0)) return true;
    return nodes.some((node) => node.k === "object" && node.privates?.some(({ type }) => type === index));
  }

  #makeObject(node: PayloadNode & { k: "object" }): object {
    const { build } = node;
    const proto = this.#at(node.proto) as object | null;
    if (build?.as === "null") return Object.create(null) as object;
    const made = build === undefined ? undefined : emptyOf(build);
    if (build?.as === "error") delete (made as Error).stack;
    if (made !== undefined && Object.getPrototypeOf(made) !== proto) Object.setPrototypeOf(made, proto);
    if (node.privates !== undefined) return this.#branded(node.privates, proto as object, made);
    return made ?? (Object.create(proto) as object);
  }

  /**
   * An object that has the private names of its classes: each class's constructor runs with nothing but field definitions, on
   * `made` when the object is of a kind of the language's own.
   */
  #branded(privates: PrivateValues, proto: object, made: object | undefined): object {
    const leaf = proto.constructor;
    const own = new Set<PropertyKey>(made === undefined ? [] : Reflect.ownKeys(made));
    let branded = made;
    for (const { type: index } of privates) {
      const type = this.#at(index) as new () => object;
      const runtime = this.#runtimes.get(index) as TextRuntime;
      const parent = Object.getPrototypeOf(type) as object;
      const isDerived = (this.#payload.nodes[index] as ClassNode).parent !== undefined;
      runtime.blank = true;
      try {
        if (isDerived) {
          const target = branded ?? (Object.create(proto) as object);
          Object.setPrototypeOf(type, function () {
            return target;
          });
        }
        branded = Reflect.construct(type, [], leaf) as object;
      } finally {
        runtime.blank = false;
        if (isDerived) Object.setPrototypeOf(type, parent);
      }
    }
    const fields = branded as Record<PropertyKey, unknown>;
    for (const key of Reflect.ownKeys(fields)) if (!own.has(key)) delete fields[key];
    return fields;
  }

  #makeBound(node: PayloadNode & { k: "bound" }): Function {
    const target = this.#at(node.target) as Function;
    return Function.prototype.bind.call(target, this.#at(node.self), ...node.args.map((arg) => this.#at(arg))) as Function;
  }

  #member(node: PayloadNode & { k: "member" }): unknown {
    const type = this.#at(node.type) as Function;
    const holder = node.fixed ? type : (type.prototype as object);
    if (node.key === "prototype") this.#finish(node.type);
    return Object.getOwnPropertyDescriptor(holder, this.#key(node.key))?.[node.part];
  }

  #restore(node: PayloadNode & { k: "reduce" }): unknown {
    const restore = this.#at(node.restore) as Function;
    const args = this.#at(node.args) as unknown[];
    this.#finish(node.args as number);
    // Options are read by the restoring function at once; functions among the arguments are only kept.
    const { props = [] } = this.#payload.nodes[node.args as number] as { props?: readonly Property[] };
    for (const { value } of props) if (typeof value === "number") this.#finishData(value);
    return Reflect.apply(restore, undefined, args);
  }

  #finish(slot: Slot): void {
    if (typeof slot === "number" && this.#isMade[slot]) this.#fill(slot);
  }

  #finishData(index: number): void {
    const node = this.#payload.nodes[index];
    if (node.k !== "object" || this.#isFilled[index]) return;
    this.#at(index);
    this.#fill(index);
    for (const { value } of node.props ?? []) if (typeof value === "number") this.#finishData(value);
  }

  #hooked(node: PayloadNode & { k: "hook" }): object {
    const hook = this.#parts[node.kind];
    if (hook !== undefined) return hook.decode(node.bytes);
    throw new TroupeError(`${this.#payload.label} brings a ${node.kind} that this process can't take`);
  }

  #given(node: PayloadNode & { k: "meta" | "require" | "module" }): object {
    const { url } = node;
    const path = url.startsWith("file:") ? fileURLToPath(url) : url;
    const made: object = node.k === "require" ? createRequire(url) : node.k === "meta"
      ? { url, filename: path, dirname: dirname(path), resolve: (specifier: string) => resolveFrom(specifier, url) }
      : { id: path, filename: path, loaded: true, children: [], paths: [], exports: undefined };
    this.#parts.origins.set(made, node);
    return made;
  }

  #viteImport(node: PayloadNode & { k: "vite-import" }): Function {
    const { url, root } = node;
    const load = (specifier: string): Promise<unknown> => {
      const path = specifier.replace(/^\/@fs(?=\/)/, "").replace(/\?.*/, "");
      if (!path.startsWith("/")) return importFrom(url)(specifier);
      return import(pathToFileURL(existsSync(path) ? path : join(root, path)).href);
    };
    this.#parts.origins.set(load, node);
    return load;
  }

  #fill(index: number): void {
    if (this.#isFilled[index]) return;
    this.#isFilled[index] = true;
    const node = this.#payload.nodes[index];
    const made = this.#made[index] as object;
    if (node.k === "fn") this.#fillFunction(index, node, made as Function);
    else if (node.k === "class") this.#fillClass(index, node, made as Function);
    else if (node.k === "object") this.#fillObject(node, made);
    else if (node.k === "module") (made as { exports: unknown }).exports = this.#at(node.exports as Slot);
  }

  #bindNames(index: number, code: CodeText): TextRuntime {
    const runtime = this.#runtimes.get(index) as TextRuntime;
    runtime.bind(code.names.map(([, slot]) => this.#at(slot)));
    return runtime;
  }

  #fillFunction(index: number, node: FunctionNode, fn: Function): void {
    this.#bindNames(index, node);
    if (node.proto !== undefined) Object.setPrototypeOf(fn, this.#at(node.proto) as object | null);
    this.#define(fn, node.props);
    lock(fn, node.lock);
  }

  #fillClass(index: number, node: ClassNode, type: Function): void {
    const { set, weak } = this.#bindNames(index, node);
    for (const [label, slot] of this.#weakOf(node)) weak.set(label, this.#at(slot) as object);
    this.#define(type, node.props);
    this.#define(type.prototype as object, node.shared);
    for (const [name, slot] of node.privates) set?.(type, name, this.#at(slot));
    lock(type, node.lock);
  }

  #fillObject(node: PayloadNode & { k: "object" }, made: object): void {
    const { build } = node;
    if (build?.as === "map") {
      for (const [key, value] of build.entries) Map.prototype.set.call(made, this.#at(key), this.#at(value));
    } else if (build?.as === "set") for (const value of build.entries) Set.prototype.add.call(made, this.#at(value));
    else if (build?.as === "weakmap") {
      for (const [key, value] of build.entries) WeakMap.prototype.set.call(made, this.#at(key) as WeakKey, this.#at(value));
    } else if (build?.as === "weakset") {
      for (const [key] of build.entries) WeakSet.prototype.add.call(made, this.#at(key) as WeakKey);
    }
    for (const { type, values } of node.privates ?? []) {
      const { set } = this.#runtimes.get(type) as TextRuntime;
      for (const [name, slot] of values) set?.(made, name, this.#at(slot));
    }
    this.#define(made, node.props);
    lock(made, node.lock);
  }

  #define(target: object, props: readonly Property[] = []): void {
    for (const { key, flags, value, get, set } of props) {
      const shape = { enumerable: (flags & 2) !== 0, configurable: (flags & 4) !== 0 };
      const part = (slot: Slot | undefined): (() => unknown) | undefined => (
        slot === undefined ? undefined : (this.#at(slot) as () => unknown)
      );
      const descriptor: PropertyDescriptor = value === undefined
        ? { ...shape, get: part(get), set: part(set) }
        : { ...shape, writable: (flags & 1) !== 0, value: this.#at(value) };
      Object.defineProperty(target, this.#key(key), descriptor);
    }
  }
}

function resolveFrom(specifier: string, url: string): string {
  return /^\.{0,2}\//.test(specifier) ? new URL(specifier, url).href : pathToFileURL(createRequire(url).resolve(specifier)).href;
}

/** What the object is before it is filled; undefined for a plain one. */
function emptyOf(build: ObjectBuild): object | undefined {
  switch (build.as) {
    case "array": return new Array<unknown>(build.length);
    case "arguments": return argumentsOf(...new Array<unknown>(build.length));
    case "map": return new Map();
    case "set": return new Set();
    case "weakmap": return new WeakMap();
    case "weakset": return new WeakSet();
    case "error": return new Error();
    case "data": return build.v;
    case "null": return undefined;
  }
}

function argumentsOf(..._values: unknown[]): object {
  return arguments;
}

function viewOf(part: { type: string; buffer: ArrayBuffer; offset: number; length: number }): object {
  type Kind = new (buffer: ArrayBuffer, offset: number, length: number) => object;
  const { type, buffer, offset, length } = part;
  if (type === "ArrayBuffer") return buffer;
  if (type === "Buffer") return Buffer.from(buffer, offset, length);
  return new (globalThis as unknown as Record<string, Kind>)[type](buffer, offset, length);
}

/** The decoder gives views of the payload's bytes: a captured array owns its buffer. */
function ownCopy(value: unknown): unknown {
  if (!ArrayBuffer.isView(value)) return value;
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  const part = value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
  if (value instanceof DataView) return new DataView(part);
  return new (value.constructor as new (buffer: ArrayBufferLike) => object)(part);
}

function methodOf(holder: object): Function {
  const [key] = Reflect.ownKeys(holder);
  const { value, get, set } = Object.getOwnPropertyDescriptor(holder, key) as PropertyDescriptor;
  return (value ?? get ?? set) as Function;
}

function setName(fn: Function, name: string | undefined): void {
  const own = Object.getOwnPropertyDescriptor(fn, "name");
  if (name !== undefined && own?.value !== name && own?.configurable !== false) {
    Object.defineProperty(fn, "name", { value: name, configurable: true });
  }
}

function lock(value: object, level: number | undefined): void {
  if (level === 1) Object.preventExtensions(value);
  else if (level === 2) Object.seal(value);
  else if (level === 3) Object.freeze(value);
}
