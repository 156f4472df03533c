// Nodes: what a call in the body of a graph gives. A node stands for a value that is not there yet.

import { GraphError } from "../../sdk/index.ts";
import { Builder } from "./builder.ts";
import type { Draft } from "./draft.ts";
import { mapStructure } from "./structure.ts";

export type Source =
  | { readonly kind: "task"; readonly task: Draft }
  | { readonly kind: "states"; readonly task: Draft }
  | { readonly kind: "param"; readonly name: string }
  /** An element of the lists that a gate is expanded over, by the name of the list; of sets without a name the whole of it. */
  | { readonly kind: "item"; readonly gate: Draft; readonly name: string | undefined }
  /** What a task is given by this name: of its element, a set of arguments, or else of the rest. */
  | {
      readonly kind: "argument"; readonly set: Node<unknown>; readonly rest: readonly unknown[];
      readonly name: string; readonly names: readonly string[]; readonly what: string;
    }
  | { readonly kind: "previous" | "index"; readonly gate: Draft }
  /** The value of a loop: that of its last round. */
  | { readonly kind: "last"; readonly gate: Draft; readonly inner: Node<unknown> }
  | {
      readonly kind: "map"; readonly list: unknown; readonly fn: (element: never) => unknown;
      /** `list` is one element of it. */
      readonly isElement?: boolean;
    }
  | { readonly kind: "zip"; readonly lists: readonly unknown[]; readonly fill: { readonly value: unknown } | undefined };

/** A value of the run to come: given where a `T` is expected, it draws the edge. */
export class Node<T> {
  declare protected readonly type: T;
  /** Nodes are not promises: nothing has run yet. */
  declare readonly then?: never;
  readonly source: Source;

  constructor(source: Source) {
    this.source = source;
  }

  /** Order only: the others run after this. */
  before(...others: readonly Endpoint[]): this {
    for (const other of others) Builder.here("before").order(this, other);
    return this;
  }

  /** Order only: this runs after the others. */
  after(...others: readonly Endpoint[]): this {
    for (const other of others) Builder.here("after").order(other, this);
    return this;
  }

  /** A list with `fn` of each element, made where the elements are read. */
  map<U>(fn: (element: T extends readonly (infer E)[] ? E : never) => U): Node<Awaited<U>[]> {
    return new Node({ kind: "map", list: this, fn: fn as (element: never) => unknown });
  }

  /** Of a task with instances: how each ended, with its result. */
  withStates(): Node<{ state: string; value: T extends readonly (infer E)[] ? E | undefined : T | undefined }[]> {
    if (this.source.kind !== "task") throw new GraphError("withStates(): only what a task gives has states");
    return new Node({ kind: "states", task: this.source.task });
  }

  [Symbol.iterator](): never {
    throw new GraphError(
      `${describe(this)} is not there yet: it can't be walked while the graph is built; expand a task over it`,
    );
  }

  [Symbol.toPrimitive](): never {
    throw new GraphError(
      `${describe(this)} is not there yet: it can't be used as a value while the graph is built; give it to a task`,
    );
  }
}

/** Of what is awaited or printed, and there or not. */
const PROBED = new Set(["then", "toJSON"]);

// A field of the value to come would be `undefined`: a loop up to `list.length` would go over nothing, without a word.
Object.setPrototypeOf(Node.prototype, new Proxy(Object.prototype, {
  get(target, name, node: Node<unknown>) {
    const isField = typeof name === "string" && !PROBED.has(name) && !(name in target);
    if (!isField || !Builder.isBuilding) return Reflect.get(target, name, node);
    throw new GraphError(
      `${describe(node)} is not there yet: its field ${name} can't be read while the graph is built; give it to a task`,
    );
  },
}));

/** What may stand at an end of an order: a node, a list of them, or what a group gave. */
export type Endpoint = Node<unknown> | readonly Endpoint[] | { readonly [key: string]: unknown } | undefined | void;

/** Where a `T` is expected: the value, a node for it, or a structure with nodes in it. */
export type In<T> = T | Node<T> | (T extends Plain ? T : T extends object ? { [K in keyof T]: In<T[K]> } : never);
type Plain = Function | Date | RegExp | Map<unknown, unknown> | Set<unknown> | ArrayBufferView | ArrayBuffer | Error;

export function describe({ source }: Node<unknown>): string {
  switch (source.kind) {
    case "task": return `the result of ${source.task.id}`;
    case "states": return `the states of ${source.task.id}`;
    case "param": return `the parameter ${source.name}`;
    case "item": return `the parameter ${source.name} of group ${source.gate.id}`;
    case "previous": case "index": return `the ${source.kind} of a loop`;
    case "last": return "the value of a loop";
    case "map": case "zip": case "argument": return "a list of the run";
  }
}

/** The same structure with each node replaced. */
export function replaceNodes(value: unknown, replace: (node: Node<unknown>) => unknown): unknown {
  return mapStructure(value, (leaf) => (leaf instanceof Node ? replace(leaf) : leaf));
}

/** All nodes in a structure, also those that others are made of. */
export function nodesIn(value: unknown, found: Node<unknown>[] = []): Node<unknown>[] {
  mapStructure(value, (leaf) => {
    if (leaf instanceof Map || leaf instanceof Set) refuseWithin(leaf);
    if (!(leaf instanceof Node)) return leaf;
    found.push(leaf);
    const { source } = leaf;
    if (source.kind === "map") nodesIn(source.list, found);
    else if (source.kind === "argument") nodesIn([source.set, source.rest], found);
    else if (source.kind === "zip") nodesIn([...source.lists], found);
    return leaf;
  });
  return found;
}

/** What would never be replaced. */
function refuseWithin(values: Map<unknown, unknown> | Set<unknown>): void {
  for (const one of values instanceof Map ? [...values].flat() : values) {
    if (!(one instanceof Node)) continue;
    throw new GraphError(`${describe(one)} is in a ${values.constructor.name}: nodes are found in arrays and plain objects only`);
  }
}
