// Builds one graph: gives ids, keeps the groups it is in, draws edges.
//
// The body of a graph is synchronous, so "the graph being built" is a variable of this module.

import { describeValue } from "../../sdk/contract.ts";
import { GraphError } from "../../sdk/index.ts";
import type { TaskKind } from "../engine/plan.ts";
import type { Argument, Draft, Expansion } from "./draft.ts";
import { Node, nodesIn } from "./node.ts";
import { type DagTaskOptions, mergeOptions } from "./options.ts";

export interface DraftParts {
  readonly kind: TaskKind;
  readonly fn?: ((...args: never[]) => unknown) | undefined;
  readonly args?: readonly Argument[];
  readonly expansion?: Expansion | undefined;
  readonly options?: DagTaskOptions;
}

export interface Group {
  readonly id: string;
  readonly tasks: Draft[];
  /** A dag that is called as a node. */
  readonly isDag: boolean;
}

/** What a group gave stands for the group where edges are drawn. */
const groupsByResult = new WeakMap<object, Group>();

export class Builder {
  static #current: Builder | undefined;

  readonly tasks: Draft[] = [];
  /** The groups that a task was drawn in, outermost first. */
  readonly groups = new Map<Draft, readonly Group[]>();
  readonly #defaults: DagTaskOptions;
  readonly #ids = new Map<string, number>();
  #prefix = "";
  #scope: readonly Draft[] = [];
  #groups: readonly Group[] = [];

  constructor(defaults: DagTaskOptions) {
    this.#defaults = defaults;
  }

  static here(what: string): Builder {
    if (Builder.#current === undefined) throw new GraphError(`${what} is called outside of the body of a dag`);
    return Builder.#current;
  }

  /** Whether this is in the body of a graph. */
  static get isBuilding(): boolean {
    return Builder.#current !== undefined;
  }

  build<T>(body: () => T): T {
    if (Builder.#current !== undefined) throw new GraphError("a dag can't be defined in the body of another one; call it there");
    Builder.#current = this;
    try {
      const result = drawn("the body of a dag", body());
      for (const { source } of nodesIn(result)) {
        const task = "task" in source ? source.task : "gate" in source ? source.gate : undefined;
        if (task !== undefined && this.tasks[task.place] !== task)
          throw new GraphError(`its result has ${task.id} in it, a task of another graph: call its dag as a node instead`);
      }
      return result;
    } finally {
      Builder.#current = undefined;
    }
  }

  /** A free id in the group that is being built: `load`, `load__1`, … */
  uniqueId(name: string): string {
    const wanted = this.#prefix + name;
    const before = this.#ids.get(wanted);
    this.#ids.set(wanted, (before ?? 0) + 1);
    if (before === undefined) return wanted;
    const id = `${wanted}__${before}`;
    return this.#ids.has(id) ? this.uniqueId(name) : (this.#ids.set(id, 1), id);
  }

  add(name: string, { kind, fn, args = [], expansion, options = {} }: DraftParts): Draft {
    const draft: Draft = {
      place: this.tasks.length,
      id: this.uniqueId(name),
      kind,
      fn,
      args,
      expansion,
      options: mergeOptions(this.#defaults, options),
      scope: this.#scope,
      upstream: new Set(),
      downstream: new Set(),
      choices: {},
      loop: undefined,
      leads: undefined,
      isElementWise: false,
      teardown: undefined,
      isSetup: false,
      trigger: undefined,
      callsOff: false,
    };
    this.tasks.push(draft);
    for (const group of this.#groups) group.tasks.push(draft);
    this.groups.set(draft, this.#groups);
    for (const { value } of args) this.reads(draft, value);
    if (expansion?.kind === "product") this.reads(draft, { ...expansion.lists });
    else if (expansion?.kind === "sets") this.reads(draft, [expansion.list, expansion.rest]);
    return draft;
  }

  /** An edge from every task whose result is in the value. */
  reads(draft: Draft, value: unknown): void {
    for (const { source } of nodesIn(value)) {
      if (source.kind === "task" || source.kind === "states") this.edge(source.task, draft);
      else if (source.kind === "last") this.edge(source.gate, draft);
      else if (source.kind === "item" || source.kind === "previous" || source.kind === "index") this.#inScope(draft, source.gate);
    }
  }

  edge(from: Draft, to: Draft): void {
    if (this.tasks[from.place] !== from)
      throw new GraphError(`task ${to.id} comes after ${from.id}, a task of another graph: call its dag as a node instead`);
    if (from === to) throw new GraphError(`task ${from.id} can't come after itself`);
    from.downstream.add(to);
    to.upstream.add(from);
  }

  order(before: unknown, after: unknown): void {
    for (const from of this.endsOf(before, "leaves")) for (const to of this.endsOf(after, "roots")) this.edge(from, to);
  }

  /** The tasks that an end of an edge stands for. */
  endsOf(value: unknown, side: "roots" | "leaves"): Draft[] {
    const group = typeof value === "object" && value !== null ? groupsByResult.get(value) : undefined;
    if (group !== undefined) return edgeOf(group, side);
    if (Array.isArray(value)) return value.flatMap((one) => this.endsOf(one, side));
    if (value instanceof Node) return [taskOf(value)];
    if (typeof value === "object" && value !== null) return Object.values(value).flatMap((one) => this.endsOf(one, side));
    throw new GraphError(`an edge leads from and to nodes, what calls of tasks give, not ${describeValue(value)}`);
  }

  /** Runs the body of a group: ids get its prefix, and what it gives stands for it. */
  inGroup<T>(id: string, body: () => T, isDag = false): T {
    const [prefix, groups] = [this.#prefix, this.#groups];
    const group: Group = { id, tasks: [], isDag };
    this.#prefix = `${id}.`;
    this.#groups = [...groups, group];
    try {
      const result = drawn(`group ${id}`, body());
      // A node that only passes through is not the group's.
      const own = !(result instanceof Node) || group.tasks.includes(sourceOf(result) as Draft);
      if (typeof result === "object" && result !== null && own) groupsByResult.set(result, group);
      return result;
    } finally {
      this.#prefix = prefix;
      this.#groups = groups;
    }
  }

  /** Everything the body adds lies behind the gate. */
  behind<T>(gate: Draft, body: () => T): T {
    const before = this.#scope;
    this.#scope = [...before, gate];
    try {
      return body();
    } finally {
      this.#scope = before;
    }
  }

  #inScope(draft: Draft, gate: Draft): void {
    if (draft.scope.includes(gate) || draft === gate) return;
    throw new GraphError(`task ${draft.id} uses what only exists inside of ${gate.id}: use what ${gate.id} gives instead`);
  }
}

/** What a body gave. @throws GraphError for a promise: what is called after the first `await` would be in no graph. */
function drawn<T>(what: string, result: T): T {
  if (typeof (result as { then?: unknown } | undefined)?.then !== "function") return result;
  // It says the same, later, to nobody.
  (result as unknown as Promise<unknown>).then(undefined, () => {});
  throw new GraphError(`${what} must not be async: it only draws the graph, and nothing in it can be waited for`);
}

function taskOf(node: Node<unknown>): Draft {
  const task = sourceOf(node);
  if (task === undefined) throw new GraphError("an edge leads from and to tasks; this value is none");
  return task;
}

function sourceOf({ source }: Node<unknown>): Draft | undefined {
  return source.kind === "task" || source.kind === "states" ? source.task : source.kind === "last" ? source.gate : undefined;
}

function edgeOf({ id, tasks }: Group, side: "roots" | "leaves"): Draft[] {
  const inside = new Set(tasks);
  const ends = tasks.filter((task) => {
    if (side === "leaves" && task.teardown !== undefined) return false;
    const others = side === "roots" ? task.upstream : [...task.downstream].filter(({ teardown }) => teardown === undefined);
    // What lies behind a gate of the group begins with the gate.
    const behind = side === "roots" && task.scope.some((gate) => inside.has(gate));
    return !behind && ![...others].some((other) => inside.has(other));
  });
  if (ends.length === 0) throw new GraphError(`group ${id} has no task that an edge could lead to`);
  return ends;
}
