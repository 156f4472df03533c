// Lineage: what is kept, and what is run again, beside a model that looks everything up anew each time.

import { describe, expect, test } from "vitest";
import { Lineage } from "../../../runtime/core/index.ts";

const BIG = 1_000_000_000;
const made = (...tasks: number[]) => ({ kind: "made", tasks: tasks.map((number) => expect.objectContaining({ number })) });

function task(number: number, needs: number[] = [], { results = [number], bytes = 100, storedBytes = 0, retriesLeft = 3 } = {}) {
  return { number, spec: `task ${number}`, bytes, storedBytes, results, needs, retriesLeft };
}

/** `forgotten` gets the names of tasks that will not run again, and the numbers of objects that will not be made again. */
function lineageOf(maxBytes = BIG, maxStoredBytes = BIG, forgotten: (string | number)[] = []): Lineage<string> {
  const note = (what: string | number) => void forgotten.push(what);
  return new Lineage<string>({ maxBytes, maxStoredBytes, taskForgotten: note, objectForgotten: note });
}

/** Tasks 1, 2, 3, … where each was given what the one before made. */
function chain(length: number, lineage = lineageOf()): Lineage<string> {
  for (let number = 1; number <= length; number += 1) lineage.ended(task(number, number === 1 ? [] : [number - 1]));
  return lineage;
}

describe("what is kept", () => {
  test("a task while its result is held", () => {
    const lineage = chain(1);
    expect(lineage.size).toEqual({ tasks: 1, objects: 1, bytes: 100 });
    lineage.released(1);
    lineage.released(1);
    expect(lineage.size).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  });

  test("all that a held result goes back to, until it is let go of; a chain of any length", () => {
    const lineage = chain(100_000);
    for (let number = 1; number < 100_000; number += 1) lineage.released(number);
    expect(lineage.size.tasks).toBe(100_000);
    lineage.lost(100_000);
    expect(lineage.wanted(100_000)).toMatchObject({ kind: "made", tasks: { length: 100_000 } });
    for (let number = 1; number <= 100_000; number += 1) lineage.ended(task(number, []));
    for (let number = 1; number <= 100_000; number += 1) lineage.released(number);
    expect(lineage.size).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  });

  test("a task that may never run again is none, and its result says why", () => {
    const lineage = lineageOf();
    lineage.ended(task(1, [9], { retriesLeft: 0 }));
    expect(lineage.size).toEqual({ tasks: 0, objects: 1, bytes: 0 });
    lineage.lost(1);
    expect(lineage.wanted(1)).toEqual({ kind: "lost", object: 1, why: "retries" });
    lineage.released(1);
    expect(lineage.size.objects).toBe(0);
  });

  test("no more than the bound: the oldest are forgotten", () => {
    const lineage = chain(5, lineageOf(250));
    expect(lineage.size).toMatchObject({ tasks: 2, bytes: 200 });
    lineage.lost(3);
    expect(lineage.wanted(3)).toEqual({ kind: "lost", object: 3, why: "evicted" });
    for (const object of [3, 4, 5]) lineage.lost(object);
    expect(lineage.wanted(5)).toEqual({ kind: "lost", object: 3, why: "evicted" });
    lineage.ended(task(6, [5], { bytes: 300 }));
    expect(lineage.size).toMatchObject({ tasks: 0, bytes: 0 });
  });
});

describe("what tasks were given by value", () => {
  test("is kept with them, and let go of with them", () => {
    const forgotten: (string | number)[] = [];
    const lineage = lineageOf(BIG, 1000, forgotten);
    lineage.ended(task(1, [], { storedBytes: 600 }));
    lineage.ended(task(2));
    lineage.released(1);
    expect(forgotten).toEqual([1, "task 1"]);
    lineage.ended(task(3, [], { storedBytes: 600 }));
    lineage.ended(task(4, [], { storedBytes: 600 }));
    expect(forgotten).toEqual([1, "task 1", "task 3"]);
    lineage.lost(3);
    expect(lineage.wanted(3)).toEqual({ kind: "lost", object: 3, why: "evicted" });
    lineage.letGo();
    expect(forgotten).toEqual([1, "task 1", "task 3", "task 4"]);
    lineage.lost(2);
    expect(lineage.wanted(2)).toEqual(made(2));
  });

  test("is nobody's when its task can't run again", () => {
    const forgotten: (string | number)[] = [];
    lineageOf(BIG, BIG, forgotten).ended(task(1, [], { storedBytes: 600, retriesLeft: 0 }));
    expect(forgotten).toEqual(["task 1"]);
  });
});

describe("what a stream yields", () => {
  const item = (result: number) => task(1, [], { results: [result] });

  test("is made again one by one, while its task goes on and after", () => {
    const forgotten: (string | number)[] = [];
    const lineage = lineageOf(BIG, BIG, forgotten);
    expect([10, 11, 12].map((number) => lineage.yielded(item(number)))).toEqual([true, false, false]);
    lineage.lost(10);
    lineage.lost(11);
    expect(lineage.wanted(11)).toEqual(made(1));
    lineage.arrived(11);
    expect([10, 11].map((number) => lineage.isMaking(number))).toEqual([true, false]);
    // Lost again before the run is over, and one that it was not asked for.
    lineage.lost(11);
    lineage.lost(12);
    expect(lineage.wanted(12)).toEqual(made());
    lineage.arrived(10);
    for (const late of [11, 12]) lineage.missed(late);
    lineage.ended(item(10));
    expect(lineage.wanted(12)).toEqual(made(1));
    for (const object of [10, 11, 12]) lineage.released(object);
    lineage.ended(item(10));
    expect(forgotten).toEqual(expect.arrayContaining([10, 11, 12, "task 1"]));
    expect(lineage.size).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  });
});

describe("what is lost and wanted", () => {
  test("is made by its task, once, however many ask, and costs a run each time", () => {
    const lineage = lineageOf();
    lineage.ended(task(1, [], { retriesLeft: 2 }));
    expect(lineage.wanted(1)).toEqual(made());
    for (const left of [1, 0]) {
      lineage.lost(1);
      expect(lineage.wanted(1)).toEqual({ kind: "made", tasks: [{ number: 1, spec: "task 1", retriesLeft: left }] });
      expect(lineage.wanted(1)).toEqual(made());
      lineage.ended(task(1, [], { retriesLeft: left }));
    }
    lineage.lost(1);
    expect(lineage.wanted(1)).toEqual({ kind: "lost", object: 1, why: "exhausted" });
  });

  test("brings back what its task was given, when that is lost or was freed, and nothing else", () => {
    const lineage = chain(4);
    lineage.released(1);
    lineage.lost(2);
    lineage.lost(4);
    // 3 is still there.
    expect(lineage.wanted(4)).toEqual(made(4));
    lineage.ended(task(4, []));
    lineage.lost(3);
    lineage.lost(4);
    expect(lineage.wanted(4)).toEqual(made(4, 3, 2, 1));
    expect(lineage.wanted(2)).toEqual(made());
  });

  test("a put is not made again, nor what needs it", () => {
    const lineage = lineageOf();
    lineage.ended(task(1, [77]));
    lineage.lost(1);
    expect(lineage.wanted(1)).toEqual(made(1));
    lineage.ended(task(1, [77]));
    lineage.released(77);
    lineage.lost(1);
    expect(lineage.wanted(1)).toEqual({ kind: "lost", object: 77, why: "put" });
    expect(lineage.wanted(5)).toEqual({ kind: "lost", object: 5, why: "put" });
  });

  test("nothing is charged or run when a part of it can't be", () => {
    const lineage = lineageOf();
    lineage.ended(task(1, [77], { retriesLeft: 1 }));
    lineage.ended(task(2, [1], { retriesLeft: 1 }));
    for (const object of [1, 2, 77]) lineage.lost(object);
    expect(lineage.wanted(2)).toEqual({ kind: "lost", object: 77, why: "put" });
    expect(lineage.wanted(2)).toEqual({ kind: "lost", object: 77, why: "put" });
  });

  test("results of one task are made together; one that is lost while it runs again comes with it", () => {
    const lineage = lineageOf();
    lineage.ended(task(1, [], { results: [1, 2, 3] }));
    lineage.lost(1);
    lineage.lost(2);
    expect(lineage.wanted(1)).toEqual(made(1));
    expect(lineage.wanted(2)).toEqual(made());
    lineage.lost(3);
    expect(lineage.wanted(3)).toEqual(made());
    lineage.ended(task(1, [], { retriesLeft: 2 }));
    expect(lineage.wanted(3)).toEqual(made());
  });

  test("a task that fails when it runs again is forgotten, and its result says so", () => {
    const lineage = chain(2);
    lineage.lost(1);
    lineage.lost(2);
    expect(lineage.wanted(2)).toEqual(made(2, 1));
    lineage.failed(1);
    lineage.failed(2);
    lineage.failed(2);
    for (const object of [1, 2]) expect(lineage.wanted(object)).toEqual({ kind: "lost", object, why: "failed" });
    lineage.released(1);
    lineage.released(2);
    expect(lineage.size).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  });

  test("what nobody holds any more when it has been made is forgotten", () => {
    const lineage = chain(1);
    lineage.lost(1);
    lineage.wanted(1);
    lineage.released(1);
    expect(lineage.size.tasks).toBe(1);
    lineage.ended(task(1));
    expect(lineage.size).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  });
});

/** The same from scratch at every question: nothing is remembered but facts. */
class Model {
  readonly tasks: { number: number; results: number[]; needs: number[]; left: number; runs: boolean; gone?: string }[] = [];
  readonly held = new Set<number>();
  readonly here = new Set<number>();
  readonly making = new Set<number>();

  makerOf(object: number) {
    return this.tasks.findLast(({ results }) => results.includes(object));
  }

  kept(): number[] {
    const kept = new Set<number>();
    for (let before = -1; before !== kept.size;) {
      before = kept.size;
      const needed = new Set(this.tasks.filter(({ number }) => kept.has(number)).flatMap(({ needs }) => needs));
      for (const { number, results, gone } of this.tasks) {
        const isReached = (one: number) => this.held.has(one) || this.making.has(one) || needed.has(one);
        if (gone === undefined && results.some(isReached)) kept.add(number);
      }
    }
    return [...kept].sort((a, b) => a - b);
  }

  /** Tasks to be run so that the object is made; undefined when that can't be. */
  plan(object: number): Set<number> | undefined {
    if (this.here.has(object) || this.making.has(object)) return new Set();
    const maker = this.makerOf(object);
    if (maker === undefined || maker.gone !== undefined) return undefined;
    if (maker.runs) return new Set();
    if (maker.left === 0) return undefined;
    const plan = new Set([maker.number]);
    for (const need of maker.needs) {
      const deeper = this.plan(need);
      if (deeper === undefined) return undefined;
      for (const one of deeper) plan.add(one);
    }
    return plan;
  }
}

class World {
  readonly model = new Model();
  readonly lineage = lineageOf();
  #next = 1;
  readonly #pick: (below: number) => number;

  constructor(seed: number) {
    let state = seed * 2654435761;
    this.#pick = (below) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
  }

  step(): void {
    const { model } = this;
    const running = model.tasks.filter(({ runs }) => runs);
    const held = [...model.held];
    const some = held[this.#pick(held.length)];
    const action = this.#pick(10);
    if (action < 3) this.#submit(held);
    else if (action < 5 && some !== undefined) this.#release(some);
    else if (action === 5 && some !== undefined) this.#lose(some);
    else if (action < 8 && some !== undefined) this.#want(some);
    else if (running.length > 0) this.#finish(running[this.#pick(running.length)]);
  }

  #submit(held: number[]): void {
    const number = this.#next;
    const results = Array.from({ length: 1 + this.#pick(2) }, (_, index) => number + index);
    const readable = held.filter((one) => this.model.here.has(one));
    const needs = Array.from({ length: Math.min(readable.length, this.#pick(3)) }, () => readable[this.#pick(readable.length)]);
    this.#next += 2;
    // One in eight is a put.
    if (this.#pick(8) > 0) {
      const left = this.#pick(4) - 1;
      this.model.tasks.push({ number, results, needs, left, runs: false, ...(left === 0 ? { gone: "retries" } : {}) });
      this.lineage.ended({ ...task(number, needs), results, retriesLeft: left });
    }
    for (const result of results) {
      this.model.held.add(result);
      this.model.here.add(result);
    }
  }

  #release(object: number): void {
    this.model.held.delete(object);
    this.model.here.delete(object);
    this.lineage.released(object);
  }

  #lose(object: number): void {
    this.model.here.delete(object);
    this.lineage.lost(object);
  }

  #want(object: number): void {
    const { model } = this;
    if (model.here.has(object)) return;
    const plan = model.plan(object);
    const found = this.lineage.wanted(object);
    const ran = found.kind === "made" ? found.tasks.map(({ number }) => number).sort((a, b) => a - b) : undefined;
    expect(ran).toEqual(plan && [...plan].sort((a, b) => a - b));
    const start = (result: number) => {
      model.making.add(result);
      model.held.add(result);
    };
    const needed = new Set(model.tasks.filter(({ number }) => plan?.has(number)).flatMap(({ needs }) => needs)).add(object);
    for (const one of model.tasks) {
      if (!plan?.has(one.number) && !(one.runs && one.results.includes(object))) continue;
      if (!one.runs && one.left > 0) one.left -= 1;
      one.runs = true;
      for (const result of one.results) {
        if (!model.here.has(result) && (model.held.has(result) || needed.has(result))) start(result);
      }
    }
  }

  #finish(one: Model["tasks"][number]): void {
    const { model } = this;
    one.runs = false;
    const isWell = this.#pick(4) > 0;
    for (const result of one.results) {
      if (model.making.delete(result) && isWell && model.held.has(result)) model.here.add(result);
    }
    if (isWell) return this.lineage.ended({ ...task(one.number), results: one.results, retriesLeft: one.left });
    one.gone = "failed";
    this.lineage.failed(one.number);
  }
}

test("any history: what is kept and what is run again are what the model says, and nothing stays behind", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const world = new World(seed);
    for (let step = 0; step < 60; step += 1) {
      world.step();
      expect(world.lineage.size.tasks, `seed ${seed}, step ${step}`).toBe(world.model.kept().length);
    }
    for (const object of [...world.model.held]) world.lineage.released(object);
    const running = world.model.tasks.filter(({ runs }) => runs);
    for (const { number, results } of running) world.lineage.ended({ ...task(number), results });
    expect(world.lineage.size, `seed ${seed}`).toEqual({ tasks: 0, objects: 0, bytes: 0 });
  }
});
