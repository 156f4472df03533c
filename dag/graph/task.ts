// task(): a function that may stand in graphs. Calling it in the body of one draws a node and its edges; nothing runs.

import { describeValue } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { Builder } from "./builder.ts";
import type { Argument, Draft, Expansion } from "./draft.ts";
import type { Beside, ListOf, Lists, Widened } from "./expansion-types.ts";
import { GraphError } from "../../sdk/index.ts";
import { type In, Node } from "./node.ts";
import { checkTaskOptions, type DagTaskOptions, mergeOptions } from "./options.ts";
import { parameterNames } from "./parameters.ts";

type Args<A extends readonly unknown[]> = { [K in keyof A]: In<A[K]> };

export interface DagTask<A extends readonly unknown[], R> {
  /** A node for the result. */
  (...args: Args<A>): Node<Awaited<R>>;
  /**
   * One instance an element, over the cross product of the lists; names are those of the parameters, the rest is filled in
   * order.
   */
  expand<L extends Lists<A[number]>>(lists: L, ...rest: Beside<A, L>): Node<Awaited<R>[]>;
  /** One instance a set of arguments; the rest fills in order what a set has not. */
  expandAll(sets: ListOf<Readonly<Record<string, A[number]>>>, ...rest: readonly In<A[number]>[]): Node<Awaited<R>[]>;
  /** The same task with other options. */
  with(options: DagTaskOptions): DagTask<A, R>;
  /** Runs the function here, as a plain call. */
  local(...args: A): R;
  readonly taskName: string;
}

/** Of the function as it is: parameters with a default have the type of that. */
export type TaskOf<F> = F extends (...args: infer A) => infer R ? DagTask<A, Widened<R>> : never;

const NAME = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

export function checkId(what: string, id: unknown): asserts id is string {
  if (typeof id === "string" && NAME.test(id) && id.length <= 200) return;
  throw new InvalidArgumentError(
    `${what}: the id must be letters, digits, "_", "-" and ".", not ${JSON.stringify(id) ?? String(id)}`,
  );
}

/**
 * A task by the name it has in graphs.
 *
 * @throws InvalidArgumentError for what is no function, and for wrong options.
 */
export function task<F extends Function>(id: string, fn: F, options?: DagTaskOptions): TaskOf<F>;
export function task(id: string, fn: (...args: readonly unknown[]) => unknown, options: DagTaskOptions = {}): unknown {
  checkId("task", id);
  if (typeof fn !== "function") throw new InvalidArgumentError(`task ${id}: expected a function, not ${typeof fn}`);
  return taskWith(id, fn, checkTaskOptions(`task ${id}`, options));
}

function taskWith<A extends readonly unknown[], R>(id: string, fn: (...args: A) => R, options: DagTaskOptions): DagTask<A, R> {
  const code = fn as (...args: never[]) => unknown;
  const name = options.id ?? id;
  const add = (args: readonly Argument[], expansion?: Expansion): Draft => (
    Builder.here(`task ${name}`).add(name, { kind: "task", fn: code, args, expansion, options })
  );
  const call = (...args: readonly unknown[]): Node<Awaited<R>> => nodeOf(add(args.map((value) => ({ value }))));
  return Object.assign(call as DagTask<A, R>, {
    expand: (lists: Readonly<Record<string, ListOf>>, ...rest: readonly unknown[]): Node<Awaited<R>[]> => {
      checkLists(name, lists);
      return nodeOf(add(argumentsByName(name, fn, options, Object.keys(lists), rest), { kind: "product", lists }));
    },
    expandAll: (sets: ListOf, ...rest: readonly unknown[]): Node<Awaited<R>[]> => {
      checkList(name, sets);
      return nodeOf(add(argumentsBySets(name, fn, options, sets), { kind: "sets", list: sets, rest }));
    },
    with: (more: DagTaskOptions) => taskWith(id, fn, mergeOptions(options, checkTaskOptions(`task ${name}`, more))),
    local: (...args: A) => fn(...args),
    taskName: name,
  });
}

export function nodeOf<T>(task: Draft): Node<T> {
  return new Node<T>({ kind: "task", task });
}

export function checkList(name: string, list: unknown): void {
  if (Array.isArray(list) || list instanceof Node) return;
  throw new GraphError(`${name} can be expanded over a list, or a node that gives one, not over ${typeof list}`);
}

export function checkLists(name: string, lists: unknown): void {
  if (typeof lists !== "object" || lists === null || lists instanceof Node || Array.isArray(lists)) {
    throw new GraphError(`${name}.expand takes lists by name: { x: [1, 2] }`);
  }
  for (const list of Object.values(lists)) checkList(name, list);
}

function namesOf(name: string, fn: Function, options: DagTaskOptions): readonly string[] {
  const names = options.args ?? parameterNames(fn);
  if (names === undefined) {
    throw new InvalidArgumentError(
      `task ${name}: the names of its parameters can't be read; give them with the option args: ["x", "y"]`,
    );
  }
  return names;
}

function argumentsByName(
  task: string, fn: Function, options: DagTaskOptions, given: readonly string[], rest: readonly unknown[],
): Argument[] {
  const names = namesOf(task, fn, options);
  checkNames(task, names, given);
  const left = [...rest];
  const args: Argument[] = [];
  for (const name of names) {
    if (given.includes(name)) args.push({ name });
    else if (left.length > 0) args.push({ value: left.shift() });
    else args.push({ value: undefined });
  }
  return [...args, ...left.map((value) => ({ value }))];
}

/** Which of them a set has is seen where it is read. */
function argumentsBySets(task: string, fn: Function, options: DagTaskOptions, sets: ListOf): Argument[] {
  const names = namesOf(task, fn, options);
  for (const set of sets instanceof Node ? [] : sets) {
    if (typeof set !== "object" || set === null)
      throw new GraphError(`${task}.expandAll takes sets of arguments by name, [{ x: 1 }], not ${describeValue(set)}`);
    if (!(set instanceof Node)) checkNames(task, names, Object.keys(set));
  }
  return names.map((name) => ({ name }));
}

function checkNames(task: string, names: readonly string[], given: readonly string[]): void {
  const unknown = given.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw new GraphError(`task ${task} has no parameter ${unknown}; it has ${names.join(", ") || "none"}`);
}
