// Who may start: no cap is ever passed, everybody starts in the end, and a stream of important work starves nobody.

import fc from "fast-check";
import { expect, test } from "vitest";
import { Admission, type Waiting } from "../../dag/engine/admission.ts";

const wish = fc.record({
  run: fc.nat(2), task: fc.nat(3), weight: fc.nat(3), pool: fc.boolean(), poolSlots: fc.integer({ min: 1, max: 3 }),
  maxActive: fc.option(fc.integer({ min: 1, max: 2 }), { nil: undefined }), perRun: fc.option(fc.constant(1), { nil: undefined }),
  inRun: fc.option(fc.constant(2), { nil: undefined }),
});

test("caps and pools hold after any sequence of starts and ends, and nothing is left waiting", () => {
  fc.assert(fc.property(fc.array(wish, { maxLength: 40 }), fc.infiniteStream(fc.nat(1000)), (wishes, stream) => {
    const admission = new Admission(5);
    const active: Waiting[] = [];
    let started = 0;
    const check = (): void => {
      expect(active.length).toBeLessThanOrEqual(5);
      const pooled = active.filter(({ pool }) => pool !== undefined).reduce((sum, { poolSlots }) => sum + poolSlots, 0);
      expect(pooled).toBeLessThanOrEqual(3);
      for (const one of active) {
        const same = active.filter(({ taskId, dagId }) => taskId === one.taskId && dagId === one.dagId);
        if (one.maxActive !== undefined && same.every(({ maxActive }) => maxActive === one.maxActive)) {
          expect(same.length).toBeLessThanOrEqual(one.maxActive);
        }
        const inRun = active.filter(({ runId }) => runId === one.runId);
        if (inRun.every(({ maxActiveTasks }) => maxActiveTasks === 2)) expect(inRun.length).toBeLessThanOrEqual(2);
      }
    };
    for (const { run, task, weight, pool, poolSlots, maxActive, perRun, inRun } of wishes) {
      const item: Waiting = {
        // What a task says is the same for all its instances.
        runId: `r${run}`, dagId: "d", weight, poolSlots,
        taskId: [task, weight, pool, poolSlots, maxActive, perRun, inRun].join(" "),
        pool: pool ? { name: "p", slots: 3 } : undefined, maxActive, maxActivePerRun: perRun, maxActiveTasks: inRun,
        start: () => { active.push(item); started += 1; check(); },
      };
      admission.add(item);
      admission.start();
      if (active.length > 0 && (stream.next().value as number) % 3 === 0) {
        admission.ended(active.splice((stream.next().value as number) % active.length, 1)[0]);
        admission.start();
      }
    }
    while (active.length > 0) {
      admission.ended(active.pop()!);
      admission.start();
    }
    expect(started).toBe(wishes.length);
  }));
});

test("unimportant work starts while important work keeps coming", () => {
  const admission = new Admission(1);
  const started: string[] = [];
  let running: Waiting | undefined;
  const add = (taskId: string, weight: number): void => {
    const item: Waiting = {
      runId: "r", dagId: "d", taskId, weight, pool: undefined, poolSlots: 1, maxActive: undefined, maxActivePerRun: undefined,
      maxActiveTasks: undefined, start: () => { started.push(taskId); running = item; },
    };
    admission.add(item);
    admission.start();
  };
  add("low", 1);
  add("low", 1);
  for (let i = 0; i < 600; i += 1) {
    add("high", 9);
    admission.ended(running!);
    admission.start();
  }
  expect(started.filter((id) => id === "low")).toHaveLength(2);
  // Nothing but patience lets it in.
  expect(started.slice(1, 200)).toEqual(Array.from({ length: 199 }, () => "high"));
});
