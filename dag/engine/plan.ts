// A graph as the engine sees it: numbers, edges and rules; no functions, no values.
//
// Tasks lie in scopes. A mapped group and a loop have a *gate*, a task that decides how often what lies in them is there; the
// scope of a task is the list of the gates it lies behind, outermost first. Where it has instances is said by coordinates, a
// number a gate.

import type { InnerRule } from "./trigger-rules.ts";
import type { RetryPolicy } from "./retry-wait.ts";

export type TaskKind = "task" | "noop" | "branch" | "shortCircuit" | "latestOnly" | "trigger" | "gate" | "loop";

export interface PlanTask {
  readonly id: string;
  readonly kind: TaskKind;
  /** Gates it lies behind, by their places in the plan. */
  readonly scope: readonly number[];
  /** Has an instance for each element of a list. Gates of mapped groups are mapped too. */
  readonly mapped: boolean;
  readonly upstream: readonly number[];
  readonly downstream: readonly number[];
  readonly rule: InnerRule;
  /** Of a teardown: the setups it undoes. */
  readonly setups: readonly number[];
  /** Setups that must have succeeded, whatever its rule says. */
  readonly needs: readonly number[];
  /** It is not let run, whatever its rule says, before these have ended. */
  readonly guards: readonly number[];
  readonly retry: RetryPolicy;
  /** Of a branch: what each key leads to. */
  readonly choices: Readonly<Record<string, readonly number[]>>;
  /** Of a loop. */
  readonly loop?: { readonly body: number; readonly max: number; readonly until: boolean };
  readonly dependsOnPast: boolean;
  /** Its failure is the run's. */
  readonly leaf: boolean;
}

export interface Plan {
  readonly dagId: string;
  readonly tasks: readonly PlanTask[];
}

export type Coords = readonly number[];

/** One instance: `task` by its place in the plan, and all its coordinates, that of its own expansion last. */
export interface Place {
  readonly task: number;
  readonly coords: Coords;
}

export function keyOf(task: number, coords: Coords): string {
  return coords.length === 0 ? `${task}` : `${task}:${coords.join(",")}`;
}

/** Whether an instance is the one with these coordinates, or one of those within them. */
export function isWithin({ coords }: Pick<Place, "coords">, outer: Coords): boolean {
  return outer.every((n, depth) => coords[depth] === n);
}

/** Who lies behind gates, the outermost first. */
interface Scoped {
  readonly scope: readonly unknown[];
}

/** How many gates two lie behind together. */
export function sharedDepth(a: Scoped, b: Scoped): number {
  let depth = 0;
  while (depth < a.scope.length && depth < b.scope.length && a.scope[depth] === b.scope[depth]) depth += 1;
  return depth;
}

/** Everything after a task, itself not among them; what lies behind a gate comes after it. */
export function descendants(plan: Plan, tasks: readonly number[]): Set<number> {
  const found = new Set<number>();
  const todo = [...tasks];
  const behind = (gate: number): number[] => plan.tasks.flatMap(({ scope }, task) => (scope.includes(gate) ? [task] : []));
  for (let task = todo.pop(); task !== undefined; task = todo.pop()) {
    const { kind, downstream } = plan.tasks[task];
    for (const next of kind === "gate" || kind === "loop" ? [...downstream, ...behind(task)] : downstream) {
      if (found.has(next)) continue;
      found.add(next);
      todo.push(next);
    }
  }
  return found;
}

/** What an instance is called, "train[2]" or "each.fit[1,0]", and which it is: a number, or one an expansion it lies in. */
export interface InstanceName {
  readonly id: string;
  readonly mapIndex?: number | readonly number[] | undefined;
}

export function instanceName(id: string, coords: Coords): InstanceName {
  if (coords.length === 0) return { id };
  return { id: `${id}[${coords.join(",")}]`, mapIndex: coords.length === 1 ? coords[0] : coords };
}

/** The task of an instance: "train" of "train[2]". */
export function taskOf(name: string): string {
  return name.replace(/\[[\d,]+\]$/, "");
}
