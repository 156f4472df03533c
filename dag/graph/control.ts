// Which ways a run takes, and in which order: branches, short circuits, setups and teardowns, edges without values.

import { GraphError } from "../../sdk/index.ts";
import { Builder } from "./builder.ts";
import type { Draft } from "./draft.ts";
import { type Endpoint, type In, Node } from "./node.ts";
import { nodeOf } from "./task.ts";

export interface Branch {
  /** What each key leads to: nodes, lists of them, or what a group gave. Other keys fail the branch. */
  to(ways: Readonly<Record<string, Endpoint>>): Node<string[]>;
}

type Key = string | readonly string[] | undefined | null | void;

/** Runs `fn`; what its keys don't lead to is skipped. */
export function branch<A extends readonly unknown[]>(
  fn: (...args: A) => Key | Promise<Key>, ...inputs: { [K in keyof A]: In<A[K]> }
): Branch {
  return { to: (ways) => branchTo(fn as (...args: never[]) => unknown, inputs, ways) };
}

function branchTo(
  fn: (...args: never[]) => unknown,
  inputs: readonly unknown[],
  ways: Readonly<Record<string, Endpoint>>,
): Node<string[]> {
  if (typeof fn !== "function") throw new GraphError(`branch: expected a function, not ${typeof fn}`);
  const builder = Builder.here("branch");
  const draft = builder.add(fn.name === "" ? "branch" : idOf(fn.name), {
    kind: "branch",
    fn,
    args: inputs.map((value) => ({ value })),
  });
  const choices: Record<string, readonly Draft[]> = {};
  for (const [key, way] of Object.entries(ways)) {
    choices[key] = builder.endsOf(way, "roots");
    for (const next of choices[key]) builder.edge(draft, next);
  }
  draft.choices = choices;
  return nodeOf<string[]>(draft);
}

/** When `fn` gives something falsy, all that comes after is skipped, whatever its trigger rule. */
export function shortCircuit<A extends readonly unknown[]>(
  fn: (...args: A) => unknown, ...inputs: { [K in keyof A]: In<A[K]> }
): Node<boolean> {
  if (typeof fn !== "function") throw new GraphError(`shortCircuit: expected a function, not ${typeof fn}`);
  const id = fn.name === "" ? "shortCircuit" : idOf(fn.name);
  const args = inputs.map((value) => ({ value }));
  return nodeOf<boolean>(
    Builder.here("shortCircuit").add(id, { kind: "shortCircuit", fn: fn as (...args: never[]) => unknown, args }),
  );
}

function idOf(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9_-]/g, "_");
}

/** Marks what prepares something that a teardown takes down again. */
export function setup<T>(node: Node<T>): Node<T> {
  draftOf("setup", node).isSetup = true;
  return node;
}

export interface TeardownOptions {
  readonly setups: Node<unknown> | readonly Node<unknown>[];
  /** Its failure fails the run. Default false. */
  readonly failRun?: boolean;
}

/** Runs when all before it has ended, if one of its setups succeeded. */
export function teardown<T>(node: Node<T>, { setups, failRun = false }: TeardownOptions): Node<T> {
  const draft = draftOf("teardown", node);
  const own = [setups].flat().map((one) => draftOf("teardown: setups", one));
  for (const one of own) {
    one.isSetup = true;
    Builder.here("teardown").edge(one, draft);
  }
  draft.teardown = { setups: own, failRun };
  return node;
}

function draftOf(what: string, node: unknown): Draft {
  if (node instanceof Node && node.source.kind === "task") return node.source.task;
  throw new GraphError(`${what}: expected the node of a task`);
}

/** One after the other; lists of the same length pair up. */
export function chain(...ends: readonly Endpoint[]): void {
  const builder = Builder.here("chain");
  for (let i = 1; i < ends.length; i += 1) {
    const [before, after] = [ends[i - 1], ends[i]];
    if (!Array.isArray(before) || !Array.isArray(after)) builder.order(before, after);
    else if (before.length !== after.length) {
      throw new GraphError(`chain: lists side by side must have the same length, not ${before.length} and ${after.length}`);
    } else before.forEach((one, place) => builder.order(one, after[place]));
  }
}

/** Each of the second list after each of the first. */
export function cross(before: readonly Endpoint[], after: readonly Endpoint[]): void {
  Builder.here("cross").order(before, after);
}

