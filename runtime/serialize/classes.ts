// What an object's prototype says: a built-in we copy, a class of the user, or something of Node's that has no copy.
//
// Node's own classes keep their state where JavaScript cannot see it, so an unknown one is refused, never copied by its fields.

import { Buffer } from "node:buffer";
import { builtinModules, createRequire } from "node:module";
import { types } from "node:util";
import { privateMember } from "./private-fields.ts";
import { serializerChanges, serializerOf } from "./serializers.ts";

/** How instances are written. `user`: class and own properties. `builtin`: contents, perhaps with class and properties beside. */
export type Family =
  | "array" | "map" | "set" | "date" | "regexp" | "boxed" | "arraybuffer" | "view" | "error" | "domexception" | "url" | "plain"
  | "user";

export interface ClassInfo {
  readonly family: Family;
  /** The class that must travel: undefined for the built-in class of the family itself. */
  readonly userClass: Function | undefined;
}
export interface RefusedClass {
  readonly reason: string;
  readonly remedy: string;
}

export const REGISTER = "registerSerializer(Class, { serialize, deserialize }) says how to copy it";

/** By family too: `Object.create(Map.prototype)` has a Map's prototype and not its contents. */
let known = nothingKnown();
let knownAt = serializerChanges();

function nothingKnown(): { readonly [family in Family]?: WeakMap<object, ClassInfo | RefusedClass> } {
  const families = ["array", "map", "set", "date", "regexp", "boxed", "arraybuffer", "view", "error", "user"];
  return Object.fromEntries(families.map((name) => [name, new WeakMap()]));
}

/** The class of an object that is neither a proxy nor of the plain prototype. */
export function classOf(value: object, prototype: object | null): ClassInfo | RefusedClass {
  if (prototype === null) return nullPrototype(value);
  if (knownAt !== serializerChanges()) {
    known = nothingKnown();
    knownAt = serializerChanges();
  }
  const family = familyOf(value);
  const classes = known[family]!;
  const cached = classes.get(prototype);
  if (cached !== undefined) return cached;
  const info = examine(value, prototype, family);
  classes.set(prototype, info);
  return info;
}

function nullPrototype(value: object): ClassInfo | RefusedClass {
  if (types.isModuleNamespaceObject(value)) return refused("is a module namespace", "send what you need of it");
  if (types.isExternal(value)) return refused("is a native handle", "create it where it is used");
  return familyOf(value) === "user" ? { family: "plain", userClass: undefined } : refused("has lost its prototype", REGISTER);
}

function familyOf(value: object): Family {
  if (Array.isArray(value)) return "array";
  if (ArrayBuffer.isView(value)) return "view";
  if (types.isMap(value)) return "map";
  if (types.isSet(value)) return "set";
  if (types.isDate(value)) return "date";
  if (types.isNativeError(value)) return "error";
  if (types.isAnyArrayBuffer(value)) return "arraybuffer";
  if (types.isRegExp(value)) return "regexp";
  return types.isBoxedPrimitive(value) ? "boxed" : "user";
}

function refused(reason: string, remedy: string): RefusedClass {
  return { reason, remedy };
}

function examine(value: object, prototype: object, family: Family): ClassInfo | RefusedClass {
  const unfit = refusalByKind(value);
  if (unfit !== undefined) return unfit;
  const constructor: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
  if (family === "error" && isNodeError(prototype)) return { family, userClass: undefined };
  if (typeof constructor !== "function" || constructor.prototype !== prototype) {
    return refused("has a prototype that no class has", `make it with a class, or copy what you need; ${REGISTER}`);
  }
  if (isNative(constructor)) return nativeClass(constructor, prototype, family);
  if (constructor === URL) return { family: "url", userClass: undefined };
  if (constructor === DOMException) return { family: "domexception", userClass: undefined };
  if (constructor === Buffer) return { family, userClass: undefined };
  return userClass(constructor, prototype, family);
}

/** Errors of Node's own have classes that nobody can name: their built-in base, code and message say all. */
function isNodeError(prototype: object): boolean {
  for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at)) {
    if (Object.getOwnPropertySymbols(at).some((key) => key.description === "kIsNodeError")) return true;
  }
  return false;
}

/** A class of the engine: known if the object has what such objects have. Realms (vm contexts) have classes of their own. */
function nativeClass(constructor: Function, prototype: object, family: Family): ClassInfo | RefusedClass {
  if (constructor.name === "Object" && Object.getPrototypeOf(prototype) === null && family === "user") {
    return { family: "plain", userClass: undefined };
  }
  const home = family === "view" ? /Array$|^DataView$/ : FAMILY_CLASS[family];
  if (home?.test(constructor.name)) return { family, userClass: undefined };
  return refused(`is ${article(constructor.name)}, which is native to the engine`, REGISTER);
}

const FAMILY_CLASS: { readonly [family in Family]?: RegExp } = {
  array: /^Array$/, map: /^Map$/, set: /^Set$/, date: /^Date$/, regexp: /^RegExp$/, arraybuffer: /^ArrayBuffer$/,
  boxed: /^(?:Number|String|Boolean|BigInt|Symbol)$/, error: /Error$/,
};

function userClass(constructor: Function, prototype: object, family: Family): ClassInfo | RefusedClass {
  const name = constructor.name || "an unnamed class";
  for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at)) {
    const each: unknown = Object.getOwnPropertyDescriptor(at, "constructor")?.value;
    if (typeof each !== "function") return refused(`is ${article(name)} with a prototype that no class has`, REGISTER);
    if (isNative(each)) {
      // Before classes, errors were made without the engine's help: they are objects like others.
      const fits = each.name === "Object" || family !== "user" || each.name === "Error";
      if (fits) return { family, userClass: constructor };
      return refused(`is ${article(name)}, a kind of ${each.name} whose contents are hidden`, REGISTER);
    }
    if (each === Buffer) continue;
    const home = nodeHome(each);
    if (home !== undefined) return ofNode(name, each.name, home);
    if (each !== constructor && serializerOf(at) !== undefined) {
      const reason = `is an instance of class ${name}, whose base ${each.name} has a serializer, which would make a ${each.name}`;
      return refused(reason, REGISTER.replace("Class", name));
    }
    const secret = privateMember(Function.prototype.toString.call(each));
    if (secret !== undefined) {
      const where = each === constructor ? `class ${name}` : `class ${name} (in its base ${each.name})`;
      const reason = `is an instance of ${where}, which has a private field ${secret} that no copy could have`;
      return refused(reason, REGISTER.replace("Class", name));
    }
  }
  return { family, userClass: constructor };
}

function ofNode(name: string, nodeClass: string, home: string): RefusedClass {
  const what = name === nodeClass ? `is ${article(name)} of ${home}` : `is ${article(name)}, a kind of ${nodeClass} of ${home}`;
  const remedy = DATA_SOURCE.test(nodeClass) ? "read it first, send the data" : "make it in the function, or keep it in an actor";
  return refused(`${what}, whose state is not in JavaScript`, `${remedy}; or ${REGISTER}`);
}

const DATA_SOURCE = /Stream$|^(?:Readable|Writable|Duplex|Transform|PassThrough|Blob|File|Response|Request|IncomingMessage)$/;

/** Things the engine marks, whatever their prototype. */
function refusalByKind(value: object): RefusedClass | undefined {
  if (types.isPromise(value)) return refused("is a Promise", "await it first, or pass the ObjectRef");
  if (types.isWeakMap(value)) return refused("is a WeakMap", "its entries cannot be listed: send a Map");
  if (types.isWeakSet(value)) return refused("is a WeakSet", "its items cannot be listed: send a Set");
  if (value instanceof WeakRef) return refused("is a WeakRef", "send what deref() gives");
  if (types.isSharedArrayBuffer(value)) {
    return refused("is a SharedArrayBuffer", "memory is not shared between workers: send a copy of it");
  }
  if (types.isGeneratorObject(value)) return refused("is a generator", "its progress has no copy: send its items");
  if (types.isMapIterator(value) || types.isSetIterator(value)) return refused("is an iterator", "send the Map or Set itself");
  if (types.isExternal(value)) return refused("is a native handle", "create it where it is used");
  if (types.isKeyObject(value) || types.isCryptoKey(value)) return refused("is a key of node:crypto", "export it first");
  return undefined;
}

function isNative(constructor: Function): boolean {
  return /\{\s*\[native code\]\s*\}\s*$/.test(Function.prototype.toString.call(constructor));
}

function article(name: string): string {
  return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}

const nodeRequire = createRequire(import.meta.url);
/** Names of Node's and the engine's globals, before the user adds any. */
const GLOBAL_NAMES: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(globalThis));
const PUBLIC_MODULES: ReadonlySet<string> = new Set(
  builtinModules.filter((name) => !name.startsWith("_") && name !== "punycode" && name !== "sys"),
);

/** Where a class of Node's own comes from. Only modules that are loaded can have made an instance. */
function nodeHome(constructor: Function): string | undefined {
  const { name } = constructor;
  if (GLOBAL_NAMES.has(name) && (globalThis as Record<string, unknown>)[name] === constructor) return "Node.js";
  const loaded = (process as unknown as { moduleLoadList?: readonly string[] }).moduleLoadList ?? [];
  for (const entry of loaded) {
    const module = entry.startsWith("NativeModule ") ? entry.slice("NativeModule ".length) : undefined;
    if (module === undefined || !PUBLIC_MODULES.has(module)) continue;
    const face = nodeRequire(`node:${module}`) as Record<string, unknown> | ((...args: never) => unknown);
    if (face === constructor || Object.getOwnPropertyDescriptor(face, name)?.value === constructor) return `node:${module}`;
  }
  return undefined;
}
