// group(): tasks under one prefix. With parameters it can be built several times, or expanded over lists.

import { Builder } from "./builder.ts";
import { type In, Node } from "./node.ts";
import { GraphError } from "../../sdk/index.ts";
import { parameterNames } from "./parameters.ts";
import type { ListOf } from "./expansion-types.ts";
import { checkId, checkList, checkLists, nodeOf } from "./task.ts";
import type { Draft, Expansion } from "./draft.ts";

/** What one instance gives, as all of them give it. */
export type Listed<R> = R extends Node<infer T> ? Node<T[]> : R extends object ? { [K in keyof R]: Listed<R[K]> } : R;

export interface ParametrisedGroup<A extends readonly unknown[], R> {
  /** Builds it here, with these arguments; gives what its body gives. */
  (...args: { [K in keyof A]: In<A[K]> }): R;
  /** Once an element of the lists: what it gives are lists outside of it. */
  expand(lists: Readonly<Record<string, ListOf | Node<unknown>>>): Listed<R>;
  expandAll(sets: ListOf | Node<unknown>): Listed<R>;
}

/** Without parameters it is built at once, and gives what its body gives. */
export function group<R>(id: string, body: () => R): R;
export function group<A extends readonly [unknown, ...unknown[]], R>(
  id: string,
  body: (...args: A) => R,
): ParametrisedGroup<A, R>;
export function group(id: string, body: (...args: never[]) => unknown): unknown {
  checkId("group", id);
  if (typeof body !== "function") throw new GraphError(`group ${id}: expected a function, not ${typeof body}`);
  if (body.length === 0) {
    const builder = Builder.here(`group ${id}`);
    return builder.inGroup(builder.uniqueId(id), body as () => unknown);
  }
  const names = parameterNames(body);
  if (names === undefined) throw new GraphError(`group ${id}: the names of its parameters can't be read`);
  const call = (...args: readonly unknown[]): unknown => {
    const builder = Builder.here(`group ${id}`);
    return builder.inGroup(builder.uniqueId(id), () => body(...(args as never[])));
  };
  const expanded = (expansion: Expansion, given: readonly string[]): unknown => {
    const unknown = given.find((name) => !names.includes(name));
    if (unknown !== undefined) throw new GraphError(`group ${id} has no parameter ${unknown}; it has ${names.join(", ")}`);
    const builder = Builder.here(`group ${id}`);
    const gate = builder.add(id, { kind: "gate", expansion });
    const items = names.map((name) => (given.includes(name) ? new Node({ kind: "item", gate, name }) : undefined));
    return builder.behind(gate, () => builder.inGroup(gate.id, () => body(...(items as never[]))));
  };
  return Object.assign(call, {
    expand: (lists: Readonly<Record<string, ListOf>>): unknown => {
      checkLists(`group ${id}`, lists);
      return expanded({ kind: "product", lists }, Object.keys(lists));
    },
    expandAll: (sets: ListOf): unknown => {
      checkList(`group ${id}`, sets);
      return expanded({ kind: "sets", list: sets, rest: [] }, names);
    },
  });
}

/** An element of each list. */
export type Zipped<L extends readonly unknown[], F = never> = { -readonly [K in keyof L]: ElementOf<L[K]> | F };
type ElementOf<L> = L extends Node<readonly (infer E)[]> ? E
  : L extends readonly (infer E)[] ? (E extends Node<infer V> ? V : E) : unknown;

/** Lists side by side, as long as the shortest; with `fill` as long as the longest. */
export function zip<L extends readonly ListOf[]>(...lists: [...L]): Node<Zipped<L>[]>;
export function zip<L extends readonly ListOf[], F>(...lists: [...L, { readonly fill: F }]): Node<Zipped<L, F>[]>;
export function zip(...lists: readonly unknown[]): Node<unknown[][]> {
  const last = lists.at(-1);
  const filled = typeof last === "object" && last !== null && !Array.isArray(last) && !(last instanceof Node);
  const own = filled ? lists.slice(0, -1) : lists;
  for (const list of own) checkList("zip", list);
  const fill = filled ? { value: (last as { fill: unknown }).fill } : undefined;
  return new Node({ kind: "zip", lists: own, fill });
}

export interface LoopOptions<T> {
  /** Asked after each round; true ends the loop. Without it there are `max` rounds. */
  readonly until?: (value: NoInfer<T>) => boolean | Promise<boolean>;
  readonly max: number;
  /** What the first round has as `previous`. */
  readonly initial?: unknown;
}

/** Rounds, one after the other; the node is the value of the last one. Fails when it has not converged after `max`. */
export function loop<T>(
  body: (previous: Node<T>, index: Node<number>) => Node<T>, options: LoopOptions<T> & { readonly initial: T | Node<T> },
): Node<T>;
export function loop<T>(body: (previous: Node<T>, index: Node<number>) => Node<T>, options: LoopOptions<T>): Node<T>;
export function loop<T>(
  body: (previous: Node<T>, index: Node<number>) => Node<T>, { until, max, initial }: LoopOptions<T>,
): Node<T> {
  if (!Number.isSafeInteger(max) || max < 1)
    throw new GraphError(`loop: max must be a whole number of 1 or more, not ${String(max)}`);
  const builder = Builder.here("loop");
  const gate = builder.add("loop", { kind: "loop" });
  builder.reads(gate, initial);
  const previous = new Node<T>({ kind: "previous", gate });
  const index = new Node<number>({ kind: "index", gate });
  const inner = builder.behind(gate, () => body(previous, index));
  const end = inner instanceof Node ? endOf(inner) : undefined;
  if (!end?.scope.includes(gate)) throw new GraphError("loop: its body must give the node of a task in it, or of a loop in it");
  gate.loop = { until, max, initial, body: end, valueNode: inner };
  return new Node<T>({ kind: "last", gate, inner });
}

/** Whose end is that of a round. */
function endOf({ source }: Node<unknown>): Draft | undefined {
  if (source.kind === "map") return source.list instanceof Node ? endOf(source.list) : undefined;
  return source.kind === "last" ? source.gate : source.kind === "task" || source.kind === "states" ? source.task : undefined;
}

export function noop(id: string): Node<undefined> {
  return nodeOf<undefined>(add("noop", id));
}

/** Only the newest run of a schedule passes; so do manual ones. */
export function latestOnly(id = "latestOnly"): Node<undefined> {
  return nodeOf<undefined>(add("latestOnly", id));
}

function add(kind: "noop" | "latestOnly", id: string): Draft {
  checkId(kind, id);
  return Builder.here(`${kind} ${id}`).add(id, { kind });
}
