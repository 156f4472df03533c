// The machine of a run under random graphs, random ends and random orders: everything ends, rules hold, and the journal replays.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { RunEffect, RunEvent } from "../../dag/engine/events.ts";
import { descendants, keyOf, type Place, type Plan, type PlanTask, sharedDepth } from "../../dag/engine/plan.ts";
import { RunMachine } from "../../dag/engine/run-machine.ts";
import { isOver, isTerminal, type TaskState } from "../../dag/engine/states.ts";
import { decide, Ends, TRIGGER_RULES } from "../../dag/engine/trigger-rules.ts";

const INFO = { logicalDate: new Date(0) };

interface Shape {
  readonly group: boolean;
  readonly mapped: boolean;
  readonly before: readonly number[];
  readonly rule: number;
  readonly retries: number;
}

/** The first task is a gate; tasks in its group lie behind it. Edges lead from lower places to higher ones. */
function planOf(shapes: readonly Shape[]): Plan {
  const gate: PlanTask = task("gate", { mapped: true, kind: "gate" });
  const tasks: PlanTask[] = [gate, ...shapes.map((shape, i) => task(`t${i + 1}`, {
    scope: shape.group ? [0] : [], mapped: shape.mapped, rule: TRIGGER_RULES[shape.rule],
    upstream: [...new Set(shape.before.map((n) => n % (i + 1)))].filter((place) => place > 0),
    retry: { retries: shape.retries, delayMs: 1, backoff: 0 },
  }))];
  return {
    dagId: "d",
    tasks: tasks.map((one, place) => {
      const downstream = tasks.flatMap(({ upstream }, next) => (upstream.includes(place) ? [next] : []));
      return { ...one, downstream, leaf: downstream.length === 0 };
    }),
  };
}

function task(id: string, more: Partial<PlanTask>): PlanTask {
  return {
    id, kind: "task", scope: [], mapped: false, upstream: [], downstream: [], rule: "allSuccess", setups: [], needs: [],
    guards: [], choices: {},
    retry: { retries: 0, delayMs: 1, backoff: 0 }, dependsOnPast: false, leaf: true, ...more,
  };
}

/** What the shell would do about an effect: one of what may happen. */
function answer(effect: RunEffect, draw: (below: number) => number, at: number): RunEvent[] {
  if (effect.kind === "measure") {
    const { task, coords } = effect;
    return [
      draw(6) === 0
        ? { type: "notExpanded", task, coords, at, reason: "no list" }
        : { type: "expanded", task, coords, at, size: draw(4) },
    ];
  }
  if (effect.kind === "wait") return [{ type: "due", task: effect.task, coords: effect.coords, at }];
  if (effect.kind !== "ready") return [];
  const of = { task: effect.task, coords: effect.coords, at };
  const started: RunEvent[] = [{ type: "admitted", ...of }, { type: "running", ...of }];
  const kind = draw(8);
  if (kind < 4) return [...started, { type: "succeeded", ...of }];
  if (kind === 4) return [...started, { type: "skipped", ...of, reason: "skip" }];
  if (kind === 5) return [...started, { type: "deferred", ...of, until: at + 1 }];
  return [...started, { type: "failed", ...of, reason: "no", final: kind === 7 }];
}

/**
 * Its process dies at these times, with some results, and another one goes on; with `anew` after its end too, by hand. At others
 * somebody clears or marks a task while the run goes on.
 */
interface Lives {
  readonly diesAt?: readonly number[];
  readonly anew?: boolean;
  readonly changedAt?: readonly number[];
}

function play(
  plan: Plan, draw: (below: number) => number, cancelAt = -1, { diesAt = [], anew = false, changedAt = [] }: Lives = {},
): { machine: RunMachine; journal: RunEvent[]; kept: Set<string> } {
  let kept = new Set<string>();
  const machine = new RunMachine(plan, INFO);
  const journal: RunEvent[] = [];
  let open: RunEvent[][] = [];
  let at = 0;
  /** Questions are asked anew when the run is changed. */
  const isOf = ({ task, coords }: Place, [event]: RunEvent[]): boolean => (
    "coords" in event && event.task === task && keyOf(task, coords) === keyOf(task, event.coords)
  );
  const step = (event: RunEvent): void => {
    journal.push(event);
    if (event.type === "running") expect(kept.has(keyOf(event.task, event.coords))).toBe(false);
    for (const effect of machine.step(event)) {
      if (effect.kind === "leave") open = open.filter((line) => !isOf(effect, line));
      const events = answer(effect, draw, at);
      // What is on its way is not begun twice.
      if (effect.kind === "ready") expect(open.some((line) => isOf(effect, line))).toBe(false);
      if (events.length > 0) open.push(events);
    }
  };
  const change = (): void => {
    kept.clear();
    open = open.filter(([{ type }]) => type !== "expanded" && type !== "notExpanded");
    const task = 1 + draw(plan.tasks.length - 1);
    const all = machine.slot(task, [])?.instances ?? [];
    const coords = all.length > 0 ? all[draw(all.length)].coords : [];
    const after = [...descendants(plan, [task])];
    if (draw(2) === 0) return step({ type: "marked", task, coords, state: draw(2) === 0 ? "success" : "skipped", at });
    if (coords.length > 0) step({ type: "cleared", tasks: after, instances: [{ task, coords }], at });
    else step({ type: "cleared", tasks: [task, ...after], at });
  };
  const goOn = (byHand: boolean): void => {
    open.length = 0;
    const done = [...machine.slots()].flatMap(({ instances = [] }) => instances.filter(({ state }) => state === "success"));
    const lost = done.filter(() => draw(3) === 0).map(({ slot: { task }, coords }) => ({ task, coords }));
    kept = new Set(done.map(({ slot, coords }) => keyOf(slot.task, coords)));
    for (const { task, coords } of lost) kept.delete(keyOf(task, coords));
    step({ type: "resumed", anew: byHand, lost, at });
  };
  let isAnew = anew;
  step({ type: "started", blocked: [], at });
  while (open.length > 0 || isAnew) {
    at += 1;
    expect(at).toBeLessThan(5000);
    if (open.length === 0) {
      isAnew = false;
      goOn(true);
      continue;
    }
    if (diesAt.includes(at)) {
      goOn(false);
      continue;
    }
    if (changedAt.includes(at)) {
      change();
      continue;
    }
    if (at === cancelAt) step({ type: "ended", state: "cancelled", reason: "enough", at });
    const [line] = open.splice(draw(open.length), 1);
    const event = line.shift()!;
    if (line.length > 0) open.push(line);
    step({ ...event, at });
  }
  return { machine, journal, kept };
}

function statesOf(machine: RunMachine): [string, TaskState, number][] {
  return [...machine.slots()].flatMap((slot) => (slot.instances ?? [slot]).map((at): [string, TaskState, number] => (
    [keyOf(slot.task, at.coords), at.state, "starts" in at ? at.starts : 0]
  ))).sort();
}

const shape = fc.record({
  group: fc.boolean(),
  mapped: fc.boolean(),
  before: fc.array(fc.nat(20), { maxLength: 3 }),
  rule: fc.nat(TRIGGER_RULES.length - 1),
  retries: fc.nat(2),
});
const shapes = fc.array(shape, { minLength: 1, maxLength: 8 });
const draws = fc.infiniteStream(fc.nat(1_000_000));
const drawerOf = (stream: Iterator<number>) => (below: number): number => stream.next().value as number % below;

describe("a run", () => {
  test("ends, with every instance ended, and the journal makes it again", () => {
    fc.assert(fc.property(shapes, draws, fc.integer({ min: -1, max: 30 }), (given, stream, cancelAt) => {
      const plan = planOf(given);
      const { machine, journal } = play(plan, drawerOf(stream), cancelAt);
      expect(isOver(machine.state)).toBe(true);
      const states = statesOf(machine);
      for (const [key, state] of states) expect([key, isTerminal(state)]).toEqual([key, true]);
      const again = new RunMachine(plan, INFO);
      for (const event of journal) again.step(event);
      expect([statesOf(again), again.state]).toEqual([states, machine.state]);
    }), { numRuns: 500 });
  });

  test("goes on in other processes, whatever is lost: it ends, nothing kept runs again, the journal makes it again", () => {
    const times = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 3 });
    fc.assert(fc.property(shapes, draws, times, fc.boolean(), (given, stream, diesAt, anew) => {
      const plan = planOf(given);
      const { machine, journal } = play(plan, drawerOf(stream), -1, { diesAt, anew });
      expect(isOver(machine.state)).toBe(true);
      const states = statesOf(machine);
      for (const [key, state] of states) expect([key, isTerminal(state)]).toEqual([key, true]);
      const again = new RunMachine(plan, INFO);
      for (const event of journal) again.step(event);
      expect([statesOf(again), again.state]).toEqual([states, machine.state]);
    }), { numRuns: 500 });
  });

  test("is changed while it goes on: it ends, what is on its way is not begun twice, the journal makes it again", () => {
    const times = fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 });
    fc.assert(fc.property(shapes, draws, times, times, (given, stream, changedAt, diesAt) => {
      const plan = planOf(given);
      const { machine, journal } = play(plan, drawerOf(stream), -1, { changedAt, diesAt });
      expect(isOver(machine.state)).toBe(true);
      const states = statesOf(machine);
      for (const [key, state] of states) expect([key, isTerminal(state)]).toEqual([key, true]);
      const again = new RunMachine(plan, INFO);
      for (const event of journal) again.step(event);
      expect([statesOf(again), again.state]).toEqual([states, machine.state]);
    }), { numRuns: 500 });
  });

  test("no rule is broken: what ran might, and what did not might not", () => {
    fc.assert(fc.property(shapes, draws, (given, stream) => {
      const plan = planOf(given);
      const { machine } = play(plan, drawerOf(stream));
      for (const slot of machine.slots()) {
        const own = plan.tasks[slot.task];
        if (slot.coords.length < own.scope.length || own.kind === "gate") continue;
        const ends = new Ends();
        for (const before of own.upstream) {
          const prefix = slot.coords.slice(0, sharedDepth(plan.tasks[before], own));
          for (const other of machine.slots()) {
            const inside = other.task === before && prefix.every((n, i) => other.coords[i] === n || other.coords.length <= i);
            for (const { state } of inside ? (other.instances ?? [other]) : []) ends.add(state);
          }
        }
        const decision = decide(own.rule as "allSuccess", ends, true);
        if (decision === "run") expect(slot.state === "upstreamFailed").toBe(false);
        else if (slot.instances !== undefined) expect([own.rule, own.id]).toEqual(["never runs", own.id]);
      }
    }), { numRuns: 300 });
  });

  test("what is cleared runs again, with what comes after it, and nothing else", () => {
    const plan = planOf(
      [1, 2, 3].map((n) => ({ group: false, mapped: false, before: n === 1 ? [] : [n - 1], rule: 0, retries: 0 })),
    );
    const machine = new RunMachine(plan, INFO);
    const ready: string[] = [];
    const run = (event: RunEvent, fails?: string): void => {
      for (const effect of machine.step(event)) {
        if (effect.kind === "measure") run({ type: "expanded", task: effect.task, coords: [], size: 0, at: 0 }, fails);
        if (effect.kind !== "ready") continue;
        const { id } = plan.tasks[effect.task];
        ready.push(id);
        run({ type: "running", task: effect.task, coords: [], at: 0 }, fails);
        if (id === fails) run({ type: "failed", task: effect.task, coords: [], at: 0, reason: "no", final: true }, fails);
        else run({ type: "succeeded", task: effect.task, coords: [], at: 0 }, fails);
      }
    };
    run({ type: "started", blocked: [], at: 0 }, "t2");
    expect([machine.state, ready.splice(0)]).toEqual(["failed", ["t1", "t2"]]);
    run({ type: "cleared", tasks: [2, 3], at: 1 });
    expect([machine.state, ready.splice(0)]).toEqual(["success", ["t2", "t3"]]);
    expect(machine.instance(2, [])).toMatchObject({ starts: 2, state: "success" });
    run({ type: "marked", task: 3, coords: [], state: "failed", at: 2 });
    expect([machine.state, ready]).toEqual(["failed", []]);
  });
});
