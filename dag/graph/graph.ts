// A finished graph: its tasks with their code, the plan the engine works from, and what the run is to give.

import { GraphError } from "../../sdk/index.ts";
import { type Plan, type PlanTask } from "../engine/plan.ts";
import type { Builder } from "./builder.ts";
import type { Draft } from "./draft.ts";
import { decidesOn, drawElementWise } from "./element-wise.ts";
import { type Pool, poolOf } from "./pool.ts";
import type { InnerRule } from "../engine/trigger-rules.ts";
import { guardsOf, reach, setupsOf } from "./precedence.ts";

const RETRY_DELAY_MS = 300_000;

export interface Graph {
  readonly plan: Plan;
  readonly tasks: readonly Draft[];
  /** A structure with nodes in it. */
  readonly result: unknown;
  /** Priority of each task, with what its rule adds. */
  readonly weights: readonly number[];
  readonly warnings: readonly string[];
}

export function graphOf(dagId: string, builder: Pick<Builder, "tasks" | "groups">, result: unknown): Graph {
  const { tasks } = builder;
  for (const draft of tasks) {
    if (draft.teardown !== undefined) checkTeardown(draft);
    checkPool(draft);
  }
  refuseCycles(tasks);
  drawElementWise(builder);
  const setups = setupsOf(tasks);
  const plan = { dagId, tasks: tasks.map((draft) => planOf(draft, setups.get(draft) ?? new Set(), guardsOf(draft, tasks))) };
  const warnings = warningsOf(tasks).map((text) => `dag ${dagId}: ${text}`);
  return { plan, tasks, result, weights: weightsOf(tasks), warnings };
}

function planOf(draft: Draft, needs: ReadonlySet<Draft>, guards: readonly Draft[]): PlanTask {
  const { id, kind, options, teardown, loop } = draft;
  const places = (drafts: Iterable<Draft>): number[] => [...drafts].map(({ place }) => place);
  return {
    id, kind, scope: places(draft.scope), mapped: draft.expansion !== undefined,
    upstream: places(draft.upstream), downstream: places(draft.downstream),
    rule: teardown === undefined ? ruleOf(draft) : "teardown",
    setups: places(teardown?.setups ?? []), needs: places(needs), guards: places(new Set([...guards, ...needs])),
    retry: {
      retries: options.retries ?? 0, delayMs: options.retryDelayMs ?? RETRY_DELAY_MS, backoff: options.retryBackoff ?? 0,
      maxDelayMs: options.maxRetryDelayMs,
    },
    choices: Object.fromEntries(Object.entries(draft.choices).map(([key, ways]) => [key, places(ways)])),
    ...(loop === undefined ? {} : { loop: { body: loop.body.place, max: loop.max, until: loop.until !== undefined } }),
    dependsOnPast: options.dependsOnPast ?? false,
    leaf: isLeaf(draft),
  };
}

/** Where a gate decides on it, it runs when that has opened. */
function ruleOf(draft: Draft): InnerRule {
  return decidesOn(draft) === draft ? (draft.options.triggerRule ?? "allSuccess") : "allSuccess";
}

/** Teardowns don't count, unless they say so: what only they come after is a leaf too. */
function isLeaf(draft: Draft): boolean {
  const { downstream, teardown } = draft;
  // How a loop ends is told by the loop.
  if (draft.scope.some(({ loop }) => loop?.body === draft)) return false;
  if (teardown !== undefined && !teardown.failRun) return false;
  return ![...downstream].some((next) => next.teardown === undefined);
}

function checkTeardown({ id, teardown, options }: Draft): void {
  if (teardown?.setups.length === 0) throw new GraphError(`teardown ${id} has no setup: give it setups: [node]`);
  if (options.triggerRule !== undefined && options.triggerRule !== "allSuccess") {
    throw new GraphError(`teardown ${id} can't have the trigger rule ${options.triggerRule}: it has one of its own`);
  }
}

function checkPool({ id, options: { pool, poolSlots = 1 } }: Draft): void {
  if (pool === undefined) return;
  const { name, slots } = poolFor(id, pool);
  if (poolSlots <= slots) return;
  throw new GraphError(
    `task ${id} needs ${poolSlots} slots of pool ${name}, which has ${slots}: give it fewer poolSlots, or the pool more`,
  );
}

function poolFor(id: string, named: Pool | string): Pool {
  try {
    return poolOf(named);
  } catch (error) {
    throw new GraphError(`task ${id}: ${(error as Error).message}`);
  }
}

function refuseCycles(tasks: readonly Draft[]): void {
  const done = new Set<Draft>();
  const path: Draft[] = [];
  const onPath = new Set<Draft>();
  // What lies behind a gate comes after it.
  const nexts = (draft: Draft): Iterator<Draft> => (
    [...draft.downstream, ...tasks.filter(({ scope }) => scope.at(-1) === draft)].values()
  );
  // Deep chains: no recursion.
  for (const root of tasks) {
    const stack: { readonly draft: Draft; readonly next: Iterator<Draft> }[] = [];
    const enter = (draft: Draft): void => {
      path.push(draft);
      onPath.add(draft);
      stack.push({ draft, next: draft.kind === "gate" || draft.kind === "loop" ? nexts(draft) : draft.downstream.values() });
    };
    if (!done.has(root)) enter(root);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { value, done: over } = top.next.next() as IteratorResult<Draft, undefined>;
      if (over || value === undefined) {
        done.add(top.draft);
        onPath.delete(top.draft);
        path.pop();
        stack.pop();
      } else if (onPath.has(value)) {
        const cycle = [...path.slice(path.indexOf(value)), value].map(({ id }) => id);
        throw new GraphError(`the graph has a cycle: ${cycle.join(" -> ")}; take one of these edges out`);
      } else if (!done.has(value)) enter(value);
    }
  }
}

function weightsOf(tasks: readonly Draft[]): number[] {
  return tasks.map((draft) => {
    const { priority = 1, weightRule = "downstream" } = draft.options;
    if (weightRule === "absolute") return priority;
    return [...reach(draft, weightRule)].reduce((sum, { options }) => sum + (options.priority ?? 1), priority);
  });
}

/**
 * Joins that no single way of a branch lets run: with the rule allSuccess what lies on the ways that were not taken skips them.
 */
function warningsOf(tasks: readonly Draft[]): string[] {
  return tasks.flatMap((branch) => {
    if (branch.kind !== "branch") return [];
    const ways = Object.values(branch.choices).map((roots) => (
      { roots, tasks: new Set(roots.flatMap((root) => [root, ...reach(root, "downstream")])) }
    ));
    return tasks.flatMap((task) => {
      const rule = task.options.triggerRule ?? "allSuccess";
      if (rule !== "allSuccess" || task.teardown !== undefined) return [];
      const entries = [...task.upstream].map((before) => (
        ways.filter(({ roots, tasks: inside }) => (before === branch ? roots.includes(task) : inside.has(before)))
      )).filter((through) => through.length > 0);
      const canRun = entries.length < 2 || ways.some((way) => entries.every((through) => through.includes(way)));
      return canRun ? [] : [
        `task ${task.id} joins ways of branch ${branch.id}: with triggerRule 'allSuccess' it is skipped whenever one of ` +
          "them is; give it triggerRule: 'noneFailedMinOneSuccess'",
      ];
    });
  });
}
