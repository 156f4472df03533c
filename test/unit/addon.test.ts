// Which addon fits this code: one that was built from other sources is refused with a word on how to build it again.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { native, REVISION, staleness } from "../../native/index.ts";

test("the sources say which revision they are", () => {
  const source = readFileSync(new URL("../../native/src/addon.c", import.meta.url), "utf8");
  expect(source).toContain(`#define REVISION ${REVISION}\n`);
});

test("an addon of another revision, or without what was added since, is refused", () => {
  if (native === undefined) return;
  expect(staleness(native)).toBeUndefined();
  expect(staleness({ ...native, revision: REVISION + 1 })).toMatch(`revision ${REVISION + 1}, and ${REVISION} is needed`);
  const { watchInterrupts: _newer, ...older } = native;
  expect(staleness(older)).toMatch("it has no watchInterrupts");
});
