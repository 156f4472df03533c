// Life of an object: every state against every event.

import fc from "fast-check";
import { expect, test } from "vitest";
import { stepObject, type ObjectEffect, type ObjectEvent, type ObjectState } from "../../../runtime/core/index.ts";

const EVENTS: readonly ObjectEvent[] = ["resolved", "rejected", "copyLost", "sought", "released", "revoked"];

/** What is not in here is ignored. */
const TRANSITIONS: Readonly<Record<ObjectState, Partial<Record<ObjectEvent, readonly [ObjectState, ObjectEffect]>>>> = {
  pending: {
    resolved: ["ready", "wakeReaders"], rejected: ["failed", "wakeReaders"], released: ["freed", "none"],
    revoked: ["freed", "wakeReaders"],
  },
  ready: { copyLost: ["lost", "none"], released: ["freed", "freeCopies"], revoked: ["freed", "freeCopies"] },
  failed: { released: ["freed", "none"] },
  lost: {
    resolved: ["ready", "wakeReaders"],
    rejected: ["failed", "wakeReaders"],
    sought: ["pending", "none"],
    released: ["freed", "none"],
    revoked: ["freed", "wakeReaders"],
  },
  freed: { resolved: ["freed", "freeCopies"] },
};

const STATES = Object.keys(TRANSITIONS) as ObjectState[];
const CASES = STATES.flatMap((state) => EVENTS.map((event) => [state, event] as const));

test.each(CASES)("%s, %s", (state, event) => {
  const [next, effect] = TRANSITIONS[state][event] ?? [state, "ignore"];
  expect(stepObject(state, event)).toEqual({ state: next, effect });
});

test("in any history readers are woken once for each time it is made, and every copy that was made is freed or lost", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...EVENTS), { maxLength: 30 }), (events) => {
      let state: ObjectState = "pending";
      let woken = 0;
      let lost = 0;
      let copies = 0;
      for (const event of events) {
        const before: ObjectState = state;
        const step = stepObject(before, event);
        state = step.state;
        if (step.effect === "wakeReaders") woken += 1;
        // A result brings a copy; a repeat of one is the same copy while the first is there.
        if (event === "resolved" && before !== "ready" && before !== "failed") copies += 1;
        if (before === "ready" && state === "lost") lost += 1;
        if (step.effect === "freeCopies" || (before === "ready" && state === "lost")) copies -= 1;
        expect(copies).toBe(state === "ready" ? 1 : 0);
      }
      expect(woken).toBeLessThanOrEqual(1 + lost);
    }),
  );
});
