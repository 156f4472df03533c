// What a task has to wait for beside what its trigger rule says: what may still skip it, and the setups it works between.

import type { Draft } from "./draft.ts";

/** These may let a task run before all that comes before it has ended. */
const EARLY: ReadonlySet<unknown> = new Set(["oneSuccess", "oneFailed", "oneDone", "always"]);

/** Setups that must have succeeded, by the tasks between each and a teardown of it. */
export function setupsOf(tasks: readonly Draft[]): Map<Draft, Set<Draft>> {
  const over = new Map<Draft, Set<Draft>>();
  for (const teardown of tasks) {
    if (teardown.teardown === undefined) continue;
    const before = reach(teardown, "upstream");
    for (const setup of teardown.teardown.setups) {
      for (const task of reach(setup, "downstream")) {
        if (!before.has(task) || task.teardown !== undefined) continue;
        over.set(task, (over.get(task) ?? new Set()).add(setup));
      }
    }
  }
  return over;
}

/** Who may still skip the task, when its rule would let it run. */
export function guardsOf(draft: Draft, tasks: readonly Draft[]): Draft[] {
  if (draft.teardown !== undefined || !EARLY.has(draft.options.triggerRule)) return [];
  const circuits = [...reach(draft, "upstream")].filter(({ kind }) => kind === "shortCircuit" || kind === "latestOnly");
  const branches = tasks.filter(({ choices }) => Object.values(choices).some((way) => way.includes(draft)));
  return [...new Set([...circuits, ...branches])];
}

/** Everything that comes before or after a task, itself not among it; the gates it lies behind come before it. */
export function reach(draft: Draft, side: "upstream" | "downstream"): Set<Draft> {
  const found = new Set<Draft>();
  const next = (one: Draft): Draft[] => [...one[side], ...(side === "upstream" ? one.scope : [])];
  const todo = next(draft);
  for (let one = todo.pop(); one !== undefined; one = todo.pop()) {
    if (found.has(one)) continue;
    found.add(one);
    todo.push(...next(one));
  }
  return found;
}
