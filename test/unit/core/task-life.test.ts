// Life of a task: every state against every event, then whole lives at random.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  isEnded, newTaskLife, retryDelay, stepTask, type TaskEffect, type TaskEvent, type TaskLife,
} from "../../../runtime/core/index.ts";

type State = TaskLife["state"];

/** Attempt 1, one retry left: an event of attempt 1 is current, one of attempt 0 is late. */
const inState = (state: State): TaskLife => ({ state, attempt: 1, retriesLeft: 1, memoryLosses: 0 });

const EVENTS: Readonly<Record<string, TaskEvent>> = {
  argumentsReady: { kind: "argumentsReady" },
  argumentFailed: { kind: "argumentFailed" },
  pushed: { kind: "pushed" },
  returned: { kind: "returned", attempt: 1 },
  threw: { kind: "threw", attempt: 1, retriable: false },
  threwRetriable: { kind: "threw", attempt: 1, retriable: true },
  unstarted: { kind: "unstarted", attempt: 1 },
  argumentsLost: { kind: "argumentsLost", attempt: 1 },
  lost: { kind: "lost", attempt: 1 },
  outOfMemory: { kind: "outOfMemory", attempt: 1, allowed: 1 },
  delayElapsed: { kind: "delayElapsed" },
  refused: { kind: "refused" },
  returnedLate: { kind: "returned", attempt: 0 },
  threwLate: { kind: "threw", attempt: 0, retriable: true },
  unstartedLate: { kind: "unstarted", attempt: 0 },
  argumentsLostLate: { kind: "argumentsLost", attempt: 0 },
  lostLate: { kind: "lost", attempt: 0 },
  outOfMemoryLate: { kind: "outOfMemory", attempt: 0, allowed: -1 },
};

/** What is not in here is ignored. */
const TRANSITIONS: Readonly<Record<State, Readonly<Record<string, readonly [State, TaskEffect]>>>> = {
  waiting: { argumentsReady: ["queued", "enqueue"], argumentFailed: ["failed", "fail"], refused: ["failed", "fail"] },
  queued: { pushed: ["pushed", "none"], refused: ["failed", "fail"] },
  pushed: {
    returned: ["done", "complete"],
    threw: ["failed", "fail"],
    threwRetriable: ["delayed", "retry"],
    unstarted: ["queued", "enqueue"],
    argumentsLost: ["waiting", "none"],
    lost: ["delayed", "retry"],
    outOfMemory: ["delayed", "retry"],
    refused: ["failed", "fail"],
  },
  delayed: { delayElapsed: ["queued", "enqueue"], refused: ["failed", "fail"] },
  done: {},
  failed: {},
};

const STATES = Object.keys(TRANSITIONS) as State[];

describe.each(STATES)("a task that is %s", (state) => {
  test.each(Object.keys(EVENTS))("on %s", (name) => {
    const task = inState(state);
    const effect = stepTask(task, EVENTS[name]);
    const expected = TRANSITIONS[state][name];
    if (expected === undefined) {
      expect({ task, effect }).toEqual({ task: inState(state), effect: "ignore" });
      return;
    }
    expect([task.state, effect]).toEqual(expected);
    expect(task.attempt).toBe(expected[1] === "retry" ? 2 : 1);
    const isForMemory = name === "outOfMemory";
    expect(task.retriesLeft).toBe(expected[1] === "retry" && !isForMemory ? 0 : 1);
    expect(task.memoryLosses).toBe(isForMemory ? 1 : 0);
  });
});

test("without retries left a loss and a retriable throw fail the task", () => {
  for (const event of [EVENTS.lost, EVENTS.threwRetriable]) {
    const task: TaskLife = { state: "pushed", attempt: 1, retriesLeft: 0, memoryLosses: 0 };
    expect(stepTask(task, event)).toBe("fail");
    expect(task).toEqual({ state: "failed", attempt: 1, retriesLeft: 0, memoryLosses: 0 });
  }
});

test("-1 retries are never used up", () => {
  const task = newTaskLife(-1);
  stepTask(task, { kind: "argumentsReady" });
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    stepTask(task, { kind: "pushed" });
    expect(stepTask(task, { kind: "lost", attempt })).toBe("retry");
    stepTask(task, { kind: "delayElapsed" });
  }
  expect(task).toEqual({ state: "queued", attempt: 1000, retriesLeft: -1, memoryLosses: 0 });
  const delays = { retryDelayMs: 0, retryBackoff: 2, maxRetryDelayMs: 60_000 };
  expect(retryDelay({ ...task, attempt: 5000 }, delays, false)).toBe(0);
  expect(retryDelay({ ...task, attempt: 5000 }, { ...delays, retryDelayMs: 1 }, false)).toBe(60_000);
});

test("losses for want of memory have a budget of their own, and longer delays", () => {
  const task = newTaskLife(1);
  const delays = { retryDelayMs: 10, retryBackoff: 3, maxRetryDelayMs: 50 };
  const ends = (event: TaskEvent, isForMemory: boolean) => {
    stepTask(task, { kind: "argumentsReady" });
    stepTask(task, { kind: "pushed" });
    const effect = stepTask(task, event);
    stepTask(task, { kind: "delayElapsed" });
    return [effect, retryDelay(task, delays, isForMemory)];
  };
  expect(ends({ kind: "outOfMemory", attempt: 0, allowed: 2 }, true)).toEqual(["retry", 1000]);
  expect(ends({ kind: "lost", attempt: 1 }, false)).toEqual(["retry", 10]);
  expect(ends({ kind: "outOfMemory", attempt: 2, allowed: 2 }, true)).toEqual(["retry", 2000]);
  expect(ends({ kind: "outOfMemory", attempt: 3, allowed: 2 }, true)[0]).toBe("fail");
});

test("delays grow by the factor up to the most", () => {
  const delays = { retryDelayMs: 10, retryBackoff: 3, maxRetryDelayMs: 100 };
  const before = (attempt: number) => retryDelay({ ...newTaskLife(9), attempt }, delays, false);
  expect([1, 2, 3, 4, 5].map(before)).toEqual([10, 30, 90, 100, 100]);
});

// 1. attempt 0 runs, its worker is thought dead     2. attempt 1 is pushed
// 3. the reply of attempt 0 arrives after all        4. it is ignored; the reply of attempt 1 completes the task
test("a reply of an attempt that was given up changes nothing", () => {
  const task = newTaskLife(3);
  const effects = (
    [
      { kind: "argumentsReady" }, { kind: "pushed" }, { kind: "lost", attempt: 0 }, { kind: "returned", attempt: 0 },
      { kind: "delayElapsed" }, { kind: "returned", attempt: 0 }, { kind: "pushed" }, { kind: "returned", attempt: 0 },
      { kind: "returned", attempt: 1 }, { kind: "returned", attempt: 1 },
    ] as const
  ).map((event) => stepTask(task, event));
  expect(effects).toEqual(["enqueue", "none", "retry", "ignore", "enqueue", "ignore", "none", "ignore", "complete", "ignore"]);
});

test("in any history a task ends at most once and never runs more often than it may", () => {
  const event: fc.Arbitrary<TaskEvent> = fc.oneof(
    fc.constantFrom<TaskEvent>({ kind: "argumentsReady" }, { kind: "pushed" }, { kind: "delayElapsed" }),
    fc.record({ kind: fc.constantFrom("returned", "unstarted", "lost"), attempt: fc.nat(4) }) as fc.Arbitrary<TaskEvent>,
    fc.record({ kind: fc.constant("threw" as const), attempt: fc.nat(4), retriable: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.nat(3), (events, retries) => {
      const task = newTaskLife(retries);
      const effects = events.map((one) => stepTask(task, one));
      const ends = effects.filter((effect) => effect === "complete" || effect === "fail").length;
      expect(ends).toBe(isEnded(task) ? 1 : 0);
      expect(effects.filter((effect) => effect === "retry").length).toBe(task.attempt);
      expect(task.attempt + task.retriesLeft).toBe(retries);
    }),
  );
});
