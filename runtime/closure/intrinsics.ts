// What every process has alike: the language's own objects by path from globalThis, and members of Node's modules by name.

import { builtinModules, createRequire } from "node:module";
import { types } from "node:util";

/** Globals of the language and of Node. A name that is not here was put there by a program. */
const GLOBALS = new Set((
  "AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean DataView " +
  "Date DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity " +
  "Int16Array Int32Array Int8Array Intl Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError " +
  "Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array " +
  "Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet WebAssembly decodeURI decodeURIComponent encodeURI " +
  "encodeURIComponent escape eval globalThis isFinite isNaN parseFloat parseInt undefined unescape AbortController " +
  "AbortSignal Blob BroadcastChannel Buffer ByteLengthQueuingStrategy CloseEvent CompressionStream CountQueuingStrategy " +
  "Crypto CryptoKey CustomEvent DOMException DecompressionStream Event EventSource EventTarget File FormData Headers " +
  "MessageChannel MessageEvent MessagePort Navigator Performance PerformanceEntry PerformanceMark PerformanceMeasure " +
  "PerformanceObserver PerformanceObserverEntryList PerformanceResourceTiming ReadableByteStreamController " +
  "ReadableStream ReadableStreamBYOBReader ReadableStreamBYOBRequest ReadableStreamDefaultController " +
  "ReadableStreamDefaultReader Request Response Storage SubtleCrypto TextDecoder TextDecoderStream TextEncoder " +
  "TextEncoderStream TransformStream TransformStreamDefaultController URL URLPattern URLSearchParams WebSocket " +
  "WritableStream WritableStreamDefaultController WritableStreamDefaultWriter atob btoa clearImmediate clearInterval " +
  "clearTimeout console crypto fetch global localStorage navigator performance process queueMicrotask sessionStorage " +
  "setImmediate setInterval setTimeout structuredClone"
).split(" "));

/** Globals that Node makes when they are first read, and its module that has them: unless that is loaded, no value is one. */
const LAZY_GLOBALS: readonly (readonly [string, string])[] = [
  ["internal/perf/performance", "performance Performance"],
  ["internal/crypto/webcrypto", "crypto Crypto CryptoKey SubtleCrypto"],
  ["internal/deps/undici/undici", "FormData Headers Request Response WebSocket EventSource"],
  ["internal/navigator", "navigator Navigator"],
  ["internal/abort_controller", "AbortController AbortSignal"],
  ["internal/encoding", "TextEncoder TextDecoder"],
];
/** Members of Node's modules that some releases make when they are first read, and the module that has them by then. */
const LAZY_MEMBERS: Readonly<Record<string, readonly [key: string, from: string]>> = {
  async_hooks: ["AsyncLocalStorage", "async_hooks"], fs: ["promises", "internal/fs/promises"],
  dns: ["promises", "internal/dns/promises"],
};
/** Objects in Node's modules whose members are values of their own. */
const NESTED = new Set(["promises", "posix", "win32", "types"]);
const PROMISIFIED = "nodejs.util.promisify.custom";
const DEPTH_MAX = 4;
let table: Map<object, readonly string[]> | undefined;
let builtins: Map<object, BuiltinName> | undefined;
let builtinsSeen = 0;

export interface BuiltinName {
  readonly module: string;
  readonly path: readonly string[];
}

export function isStandardGlobal(name: string): boolean {
  return GLOBALS.has(name);
}

/** Globals of browsers and other runtimes: code that runs in several places names them in parts that don't run in Node. */
const ELSEWHERE = new Set((
  "window self document location importScripts WorkerGlobalScope DedicatedWorkerGlobalScope XMLHttpRequest ActiveXObject " +
  "HTMLElement Element Node Image indexedDB msCrypto define Deno Bun java print load"
).split(" "));

/** A name that may be missing: what uses it fails in the worker as it would here. */
export function isForeignGlobal(name: string): boolean {
  return ELSEWHERE.has(name);
}

export function warmTables(): void {
  globalPathOf(Object);
  builtinOf(Object);
}

/** The path of one of the language's own objects. */
export function globalPathOf(value: object): readonly string[] | undefined {
  table ??= buildTable();
  return table.get(value);
}

/** The module of Node, or the member of one, that a value is. */
export function builtinOf(value: object): BuiltinName | undefined {
  if (types.isModuleNamespaceObject(value)) {
    const whole = (value as { default?: unknown }).default;
    const found = isObject(whole) ? builtinOf(whole) : undefined;
    return found !== undefined && found.path.length === 1 ? { module: found.module, path: [] } : undefined;
  }
  if (builtins === undefined || loadedCount() !== builtinsSeen) {
    builtins = buildBuiltins();
    if (table !== undefined) addLazyGlobals(table);
    builtinsSeen = loadedCount();
  }
  return builtins.get(value);
}

/** Follows a step of a path that `builtinOf` gave. */
export function builtinStep(step: string): PropertyKey {
  return step === PROMISIFIED ? Symbol.for(step) : step;
}

/** Follows a path that `globalPathOf` gave, in this process. */
export function globalAt(path: readonly string[]): unknown {
  let at: unknown = hiddenRoots().get(path[0]) ?? globalThis;
  for (const step of at === globalThis ? path : path.slice(1)) {
    const [name, part] = step.startsWith("get ") || step.startsWith("set ") ? [step.slice(4), step.slice(0, 3)] : [step, "value"];
    const key = name.startsWith("@@") ? (Symbol[name.slice(2) as "iterator"] as symbol) : name;
    if (part === "value") at = (at as Record<PropertyKey, unknown>)[key];
    else at = Object.getOwnPropertyDescriptor(at as object, key)?.[part as "get" | "set"];
  }
  return at;
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

/** Objects of the language that no global names. */
function hiddenRoots(): Map<string, object> {
  const proto = (value: object): object => Object.getPrototypeOf(value) as object;
  const generator = function* (): Generator {};
  const asyncGenerator = async function* (): AsyncGenerator {};
  const arrayIterator = proto([][Symbol.iterator]());
  return new Map<string, object>([
    ["%AsyncFunction%", proto(async () => {}).constructor],
    ["%GeneratorFunction%", proto(generator).constructor],
    ["%AsyncGeneratorFunction%", proto(asyncGenerator).constructor],
    ["%AsyncFunctionPrototype%", proto(async () => {})],
    ["%GeneratorFunctionPrototype%", proto(generator)],
    ["%AsyncGeneratorFunctionPrototype%", proto(asyncGenerator)],
    ["%GeneratorPrototype%", proto(generator.prototype as object)],
    ["%AsyncGeneratorPrototype%", proto(asyncGenerator.prototype as object)],
    ["%TypedArray%", proto(Uint8Array)],
    ["%ArrayIteratorPrototype%", arrayIterator],
    ["%IteratorPrototype%", proto(arrayIterator)],
    ["%MapIteratorPrototype%", proto(new Map()[Symbol.iterator]())],
    ["%SetIteratorPrototype%", proto(new Set()[Symbol.iterator]())],
    ["%StringIteratorPrototype%", proto(""[Symbol.iterator]())],
  ]);
}

function buildTable(): Map<object, readonly string[]> {
  const found = new Map<object, readonly string[]>();
  found.set(globalThis, ["globalThis"]);
  for (const name of ["process", "console"]) add(found, (globalThis as Record<string, unknown>)[name], [name], DEPTH_MAX);
  found.set(process.env, ["process", "env"]);
  for (const name of GLOBALS) {
    const descriptor = Object.getOwnPropertyDescriptor(globalThis, name);
    // The members of these are what a program put there.
    if (name === "process" || name === "global" || name === "globalThis") continue;
    if (descriptor !== undefined && "value" in descriptor) add(found, descriptor.value, [name], 1);
  }
  for (const [name, value] of hiddenRoots()) add(found, value, [name], 2);
  addLazyGlobals(found);
  return found;
}

function addLazyGlobals(found: Map<object, readonly string[]>): void {
  const loaded = new Set((process as unknown as { moduleLoadList: readonly string[] }).moduleLoadList);
  for (const [module, names] of LAZY_GLOBALS) {
    if (!loaded.has(`NativeModule ${module}`)) continue;
    for (const name of names.split(" ")) add(found, (globalThis as Record<string, unknown>)[name], [name], 2);
    // The one object of Node that only an accessor gives.
    if (names.startsWith("crypto")) found.set(crypto.subtle, ["crypto", "subtle"]);
  }
}

function add(found: Map<object, readonly string[]>, value: unknown, path: readonly string[], depth: number): void {
  if (!isObject(value) || (found.has(value) && path.length > 1)) return;
  if (!found.has(value)) found.set(value, path);
  if (depth >= DEPTH_MAX) return;
  for (const key of Reflect.ownKeys(value)) {
    const name = typeof key === "string" ? key : `@@${(key.description ?? "").replace(/^Symbol\./, "")}`;
    if (typeof key === "symbol" && Symbol[name.slice(2) as "iterator"] !== key) continue;
    const descriptor = Object.getOwnPropertyDescriptor(value, key) as PropertyDescriptor;
    if (descriptor.get !== undefined) add(found, descriptor.get, [...path, `get ${name}`], DEPTH_MAX);
    if (descriptor.set !== undefined) add(found, descriptor.set, [...path, `set ${name}`], DEPTH_MAX);
    if (isObject(descriptor.value) && name !== "constructor") add(found, descriptor.value, [...path, name], depth + 1);
  }
}

function loadedCount(): number {
  return (process as unknown as { moduleLoadList: readonly string[] }).moduleLoadList.length;
}

/** Only modules that are loaded: a value of one that is not loaded can't exist. */
function buildBuiltins(): Map<object, BuiltinName> {
  const require = createRequire(import.meta.url);
  const list = (process as unknown as { moduleLoadList: readonly string[] }).moduleLoadList;
  const loaded = new Set(list.map((name) => name.replace(/^NativeModule /, "")));
  const found = new Map<object, BuiltinName>();
  for (const name of builtinModules) {
    // A program has `process` without loading the module that exports it.
    const isLoaded = name === "process" || loaded.has(name.replace(/^node:/, ""));
    if (name.startsWith("_") || name === "sys" || !isLoaded) continue;
    const module = `node:${name.replace(/^node:/, "")}`;
    const whole = require(module) as object;
    if (!found.has(whole)) found.set(whole, { module, path: ["default"] });
    const members = Object.entries(Object.getOwnPropertyDescriptors(whole));
    const [key, from] = LAZY_MEMBERS[name] ?? [];
    if (key !== undefined && loaded.has(from)) members.push([key, { value: (whole as Record<string, unknown>)[key] }]);
    for (const [key, descriptor] of members) addBuiltin(found, descriptor, module, key);
  }
  return found;
}

/** A member, its own members (`fs.promises.readFile`), and its prototype, for instances and methods. */
function addBuiltin(found: Map<object, BuiltinName>, descriptor: PropertyDescriptor, module: string, key: string): void {
  const value: unknown = descriptor.value;
  if (!isObject(value)) return;
  if (!found.has(value)) found.set(value, { module, path: ["default", key] });
  const promisified: unknown = Object.getOwnPropertyDescriptor(value, Symbol.for(PROMISIFIED))?.value;
  if (isObject(promisified) && !found.has(promisified)) {
    found.set(promisified, { module, path: ["default", key, PROMISIFIED] });
  }
  if (globalPathOf(value) !== undefined || (typeof value !== "function" && !NESTED.has(key))) return;
  for (const [name, inner] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    const member: unknown = inner.value;
    if (isObject(member) && name !== "constructor" && !found.has(member) && globalPathOf(member) === undefined) {
      if (typeof member === "function" || name === "prototype") found.set(member, { module, path: ["default", key, name] });
    }
  }
}
