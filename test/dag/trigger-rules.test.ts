// Every rule over every combination of up to three ends before it, against the table written down a second time.

import { describe, expect, test } from "vitest";
import {
  decide,
  type Decision,
  decideTeardown,
  END_KINDS,
  Ends,
  TRIGGER_RULES,
  type TriggerRule,
} from "../../dag/engine/trigger-rules.ts";
import type { TaskState } from "../../dag/engine/states.ts";

type End = (typeof END_KINDS)[number];

function combinations(length: number): End[][] {
  if (length === 0) return [[]];
  return combinations(length - 1).flatMap((rest) => END_KINDS.map((kind) => [...rest, kind]));
}

const all = [0, 1, 2, 3].flatMap(combinations);

function endsOf(states: readonly TaskState[]): Ends {
  const ends = new Ends();
  for (const state of states) ends.add(state);
  return ends;
}

/** When all has ended. */
const TABLE: Record<TriggerRule, (has: (...kinds: End[]) => boolean, only: (...kinds: End[]) => boolean) => Decision> = {
  allSuccess: (has) => (has("failed", "upstreamFailed") ? "upstreamFailed" : has("skipped") ? "skipped" : "run"),
  allFailed: (has) => (has("success", "skipped") ? "skipped" : "run"),
  allDone: () => "run",
  allDoneMinOneSuccess: (has) => (has("success") ? "run" : "upstreamFailed"),
  allSkipped: (has) => (has("success", "failed", "upstreamFailed") ? "skipped" : "run"),
  oneSuccess: (has, only) => (has("success") ? "run" : only("skipped") ? "skipped" : "upstreamFailed"),
  oneFailed: (has) => (has("failed", "upstreamFailed") ? "run" : "skipped"),
  oneDone: (has) => (has("success", "failed") ? "run" : "skipped"),
  noneFailed: (has) => (has("failed", "upstreamFailed") ? "upstreamFailed" : "run"),
  noneFailedMinOneSuccess: (has) => (has("failed", "upstreamFailed") ? "upstreamFailed" : has("success") ? "run" : "skipped"),
  noneSkipped: (has) => (has("skipped") ? "skipped" : "run"),
  always: () => "run",
};

describe.each(TRIGGER_RULES)("%s", (rule) => {
  test("decides every combination of ends", () => {
    for (const states of all) {
      const has = (...kinds: End[]): boolean => kinds.some((kind) => states.includes(kind));
      const only = (...kinds: End[]): boolean => states.every((state) => kinds.includes(state));
      const expected = states.length === 0 ? "run" : TABLE[rule](has, only);
      expect([states, decide(rule, endsOf(states), true)]).toEqual([states, expected]);
    }
  });

  test("what runs early would have run in the end, and what waits is decided by it", () => {
    for (const states of all.filter(({ length }) => length > 0)) {
      const early = decide(rule, endsOf(states.slice(0, -1)), false);
      const late = decide(rule, endsOf(states), true);
      if (early === "run") expect([states, late]).toEqual([states, "run"]);
      else if (early !== "wait") expect(late).not.toBe("run");
    }
  });
});

test("a teardown waits for all, and runs when one of its setups succeeded", () => {
  expect(decideTeardown(endsOf(["success"]), false)).toBe("wait");
  expect(decideTeardown(endsOf(["success", "failed"]), true)).toBe("run");
  expect(decideTeardown(endsOf(["skipped", "skipped"]), true)).toBe("skipped");
  expect(decideTeardown(endsOf(["failed", "skipped"]), true)).toBe("upstreamFailed");
});
