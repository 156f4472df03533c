// Shipped code as data: a list of nodes that point at one another by index. Equal code gives equal bytes in every process.

import { createHash } from "node:crypto";
import { deserialize, serialize } from "node:v8";
import { TroupeError } from "../errors.ts";
import type { PlaceMap } from "./places.ts";

/** Name of the object that every compiled text sees as its runtime. */
export const RUNTIME_NAME = "__troupe";

/** How refs and actor handles inside captured code become bytes and objects again. */
export interface TravelHook {
  encode(value: object): Uint8Array;
  decode(bytes: Uint8Array): object;
  /** What every encoding of this value begins with, and no other value's does. */
  identity(value: object): Uint8Array;
}
/** Where large data inside captured code goes, so that what travels stays small. */
export interface DataHook {
  /** Keeps the bytes as they are now; their content hash. */
  keep(bytes: Uint8Array): string;
  /** Memory of its own for each call: what is written there shows nowhere else. */
  load(id: string): Promise<ArrayBuffer>;
}

/** The index of a node, or a primitive in a list of one. */
export type Slot = number | readonly [unknown];
/** A string key, or the node of a symbol. */
export type Key = string | number;
export interface Property {
  readonly key: Key;
  /** Writable 1, enumerable 2, configurable 4. */
  readonly flags: number;
  readonly value?: Slot;
  readonly get?: Slot;
  readonly set?: Slot;
}
export interface Extras {
  readonly props?: readonly Property[];
  /** 1 not extensible, 2 sealed, 3 frozen. */
  readonly lock?: number;
}
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}
export interface CodeText {
  readonly before: string;
  readonly text: string;
  readonly after: string;
  readonly strict: boolean;
  readonly names: readonly (readonly [string, Slot])[];
  readonly position: Position;
  /** Where the text was written, when that is not where `position` says. */
  readonly map?: PlaceMap;
}
export interface FunctionNode extends CodeText, Extras {
  readonly k: "fn";
  readonly name: string | undefined;
  readonly prototype?: Slot;
  readonly proto?: Slot;
}
export interface ClassNode extends CodeText, Extras {
  readonly k: "class";
  /** Its identity in every process. */
  readonly track: string;
  readonly name: string | undefined;
  /** Undefined for a class that extends nothing. */
  readonly parent?: Slot;
  /** Properties of `prototype` that the text doesn't make. */
  readonly shared: readonly Property[];
  readonly privates: readonly (readonly [string, Slot])[];
  /** Values of computed keys that read variables. */
  readonly keys: readonly Slot[];
}
/** A function that the text of a class makes, or its prototype. */
export interface MemberNode {
  readonly k: "member";
  readonly type: number;
  readonly fixed: boolean;
  readonly key: Key;
  readonly part: "value" | "get" | "set";
}
export type PayloadNode =
  | FunctionNode
  | ClassNode
  | { readonly k: "data"; readonly v: unknown }
  | { readonly k: "global"; readonly path: readonly string[] }
  | { readonly k: "import"; readonly from: string; readonly specifier: string; readonly path: readonly string[] }
  | { readonly k: "own"; readonly file: string; readonly path: readonly string[] }
  | { readonly k: "symbol"; readonly text: string | undefined; readonly registered: boolean }
  | ({ readonly k: "object"; readonly proto: Slot; readonly build?: ObjectBuild; readonly privates?: PrivateValues } & Extras)
  | { readonly k: "bound"; readonly target: Slot; readonly self: Slot; readonly args: readonly Slot[] }
  | MemberNode
  /** What another value has under a key. */
  | { readonly k: "property"; readonly of: Slot; readonly key: Key }
  /** One of several typed arrays on one buffer; `length` counts elements. */
  | { readonly k: "view"; readonly type: string; readonly buffer: Slot; readonly offset: number; readonly length: number }
  /** Data that was kept apart. */
  | { readonly k: "kept"; readonly type: string; readonly id: string; readonly length: number }
  | { readonly k: "url"; readonly type: "URL" | "URLSearchParams"; readonly text: string }
  | { readonly k: "reduce"; readonly restore: Slot; readonly args: Slot }
  | { readonly k: "hook"; readonly kind: "ref" | "handle"; readonly bytes: Uint8Array }
  | { readonly k: "meta" | "require" | "module"; readonly url: string; readonly exports?: Slot }
  /** What Vite makes of `import()`: it names files from the root of its project. */
  | { readonly k: "vite-import"; readonly url: string; readonly root: string };
/** What an object is made from besides its properties. */
export type ObjectBuild =
  | { readonly as: "array" | "arguments"; readonly length: number }
  | { readonly as: "map"; readonly entries: readonly (readonly [Slot, Slot])[] }
  | { readonly as: "set"; readonly entries: readonly Slot[] }
  /** Pairs whose keys are captured by others: nothing could look the rest up. A WeakSet's have no value. */
  | { readonly as: "weakmap" | "weakset"; readonly entries: readonly (readonly [number, Slot])[] }
  | { readonly as: "data"; readonly v: object }
  | { readonly as: "error" }
  | { readonly as: "null" };
/** Class by class from the topmost; such objects are made by the constructors with bodies and initialisers left out. */
export type PrivateValues = readonly { readonly type: number; readonly values: readonly (readonly [string, Slot])[] }[];

export interface ClassSerializer {
  readonly type: Slot;
  readonly serialize: Slot;
  readonly deserialize: Slot;
}

export interface Payload {
  readonly version: 1;
  readonly root: Slot;
  readonly label: string;
  readonly nodes: readonly PayloadNode[];
  /** Left out when there are none. */
  readonly serializers?: readonly ClassSerializer[];
}

/** Content hashes of the data that a payload is not complete without. */
export function needsOf({ nodes }: Payload): string[] {
  return [...new Set(nodes.flatMap((node) => (node.k === "kept" ? [node.id] : [])))];
}

export function encodePayload(payload: Payload): { id: string; bytes: Uint8Array } {
  const bytes = serialize(payload);
  return { id: contentHash(bytes), bytes };
}

export function contentHash(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 32);
}

export function decodePayload(bytes: Uint8Array): Payload {
  const payload = deserialize(bytes) as Payload;
  if (payload.version === 1) return payload;
  throw new TroupeError(`this worker can't read shipped code of version ${String(payload.version)}: use one release everywhere`);
}
