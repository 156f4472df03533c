// When a task runs, given how those before it ended: the twelve trigger rules, and the one of teardowns.
//
// A rule looks at counts, never at the order in which they came. "Wait" is answered while a later end can still change it.

import type { TaskState } from "./states.ts";

export const TRIGGER_RULES = [
  "allSuccess", "allFailed", "allDone", "allDoneMinOneSuccess", "allSkipped", "oneSuccess", "oneFailed", "oneDone", "noneFailed",
  "noneFailedMinOneSuccess", "noneSkipped", "always",
] as const;

export type TriggerRule = (typeof TRIGGER_RULES)[number];
/** Teardowns have one of their own: they run when all is done and a setup of theirs succeeded. */
export type InnerRule = TriggerRule | "teardown";

export type Decision = "wait" | "run" | "skipped" | "upstreamFailed";

export const END_KINDS = ["success", "failed", "skipped", "upstreamFailed", "removed"] as const;

/** How the instances before a task ended so far. */
export class Ends {
  success = 0;
  failed = 0;
  skipped = 0;
  upstreamFailed = 0;
  removed = 0;

  add(state: TaskState, by: 1 | -1 = 1): void {
    if (state === "success") this.success += by;
    else if (state === "failed") this.failed += by;
    else if (state === "skipped") this.skipped += by;
    else if (state === "upstreamFailed") this.upstreamFailed += by;
    else if (state === "removed") this.removed += by;
  }

  get total(): number {
    return this.success + this.failed + this.skipped + this.upstreamFailed + this.removed;
  }
}

type Rule = (ends: Ends, all: boolean) => Decision;

const bad = (ends: Ends): boolean => ends.failed + ends.upstreamFailed > 0;

const RULES: Record<TriggerRule, Rule> = {
  // A skip waits for the rest: a failure after it would win.
  allSuccess: (ends, all) => (bad(ends) ? "upstreamFailed" : !all ? "wait" : ends.skipped > 0 ? "skipped" : "run"),
  allFailed: (ends, all) => (ends.success + ends.skipped > 0 ? "skipped" : all ? "run" : "wait"),
  allDone: (_, all) => (all ? "run" : "wait"),
  allDoneMinOneSuccess: (ends, all) => (!all ? "wait" : ends.success > 0 ? "run" : "upstreamFailed"),
  allSkipped: (ends, all) => (ends.success > 0 || bad(ends) ? "skipped" : all ? "run" : "wait"),
  oneSuccess: (ends, all) => {
    if (ends.success > 0) return "run";
    return !all ? "wait" : bad(ends) || ends.removed > 0 ? "upstreamFailed" : "skipped";
  },
  oneFailed: (ends, all) => (bad(ends) ? "run" : all ? "skipped" : "wait"),
  oneDone: (ends, all) => (ends.success + ends.failed > 0 ? "run" : all ? "skipped" : "wait"),
  noneFailed: (ends, all) => (bad(ends) ? "upstreamFailed" : all ? "run" : "wait"),
  noneFailedMinOneSuccess: (ends, all) => {
    if (bad(ends)) return "upstreamFailed";
    return !all ? "wait" : ends.success > 0 ? "run" : "skipped";
  },
  noneSkipped: (ends, all) => (ends.skipped > 0 ? "skipped" : all ? "run" : "wait"),
  always: () => "run",
};

/** `all`: everything before it is known and done. Whatever has nothing before it runs. */
export function decide(rule: TriggerRule, ends: Ends, all: boolean): Decision {
  if (all && ends.total === 0) return "run";
  return RULES[rule](ends, all);
}

/** A teardown: when all before it is done, if a setup of its succeeded; skipped when all of them were. */
export function decideTeardown(setups: Ends, all: boolean): Decision {
  if (!all) return "wait";
  if (setups.success > 0 || setups.total === 0) return "run";
  return bad(setups) ? "upstreamFailed" : "skipped";
}
