// Silence: found within its bound, and never in somebody the watcher could not have heard.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Silence } from "../../../runtime/core/index.ts";

const LIMIT = 5000;
const EVERY = 1000;

function watching(...subjects: readonly string[]): Silence {
  const silence = new Silence({ limitMs: LIMIT, lookEveryMs: EVERY });
  for (const subject of subjects) silence.heard(subject);
  silence.look(0);
  return silence;
}

test("who says nothing for as long as the limit is told, with the time; who speaks is not", () => {
  const silence = watching("silent", "speaking");
  for (let now = EVERY; now < LIMIT; now += EVERY) {
    silence.heard("speaking");
    expect(silence.look(now)).toEqual([]);
  }
  silence.heard("speaking");
  expect(silence.look(LIMIT)).toEqual([{ subject: "silent", silentMs: LIMIT }]);
});

test("one word, however late, and the time starts anew", () => {
  const silence = watching("one");
  for (let now = EVERY; now < LIMIT; now += EVERY) silence.look(now);
  silence.heard("one");
  expect(silence.look(LIMIT)).toEqual([]);
  for (let now = LIMIT + EVERY; now < 2 * LIMIT; now += EVERY) expect(silence.look(now)).toEqual([]);
  expect(silence.look(2 * LIMIT)).toHaveLength(1);
});

test("a watcher that was stopped for an hour has no one killed for it", () => {
  const silence = watching("one", "two");
  silence.look(EVERY);
  expect(silence.look(EVERY + 3_600_000)).toEqual([]);
  silence.heard("one");
  // The one that is really silent is found after that.
  let now = EVERY + 3_600_000;
  const found: string[] = [];
  for (let looks = 0; looks < 2; looks += 1) {
    silence.heard("one");
    found.push(...silence.look((now += EVERY)).map(({ subject }) => subject));
  }
  expect(found).toEqual(["two"]);
});

test("who is forgotten is not told", () => {
  const silence = watching("one");
  silence.forget("one");
  for (let now = EVERY; now <= 3 * LIMIT; now += EVERY) expect(silence.look(now)).toEqual([]);
});

test("with any pauses, nobody who was heard within the last looks of the limit's length is told", () => {
  fc.assert(
    fc.property(fc.array(fc.record({ pause: fc.nat(20_000), heard: fc.boolean() }), { maxLength: 60 }), (looks) => {
      const silence = watching("one");
      let now = 0;
      let unheard = 0;
      for (const { pause, heard } of looks) {
        if (heard) silence.heard("one");
        unheard = heard ? 0 : unheard + 1;
        const told = silence.look((now += pause)).length > 0;
        // Each look counts at most two intervals.
        if (unheard * 2 * EVERY < LIMIT) expect(told).toBe(false);
      }
    }),
  );
});
