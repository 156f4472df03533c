// The leases of a scheduling class at their owner.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LeasePool, STUCK_MS, type PooledLease, type PooledTask } from "../../../runtime/core/index.ts";
import { IDLE_KEEP_MS, PIPELINE_MICROS, PIPELINE_TASKS_MAX, WANTED_MAX } from "../../../runtime/core/lease-pool.ts";

interface Task extends PooledTask {
  readonly name: number;
  expectedMicros: number | undefined;
}
type Lease = PooledLease<Task>;
type Pool = LeasePool<Task, Lease>;

let names = 0;
const task = (expectedMicros?: number): Task => ({ name: names++, expectedMicros, chargedMicros: 0 });
const lease = (id: string): Lease => ({
  id, inFlight: new Set(), backlogMicros: 0, closing: false, wanted: false, blocked: false, idleSince: 0, movedAt: 0,
});

function poolOf(leases: number, tasks: readonly Task[]): Pool {
  const pool: Pool = new LeasePool();
  for (let index = 0; index < leases; index += 1) pool.granted(lease(`L${index}`));
  for (const one of tasks) pool.enqueue(one);
  return pool;
}

function pushAll(pool: Pool, now = 0): [string, Task][] {
  const pushed: [string, Task][] = [];
  for (let next = pool.next(now); next !== undefined; next = pool.next(now)) pushed.push([next.lease.id, next.task]);
  return pushed;
}

describe("pushing", () => {
  test("gives each lease one task while nothing is known of their time", () => {
    const tasks = [task(), task(), task()];
    const pool = poolOf(2, tasks);
    expect(pushAll(pool)).toEqual([["L0", tasks[0]], ["L1", tasks[1]]]);
    expect(pool.queued).toBe(1);
  });

  test("fills a millisecond, at most so many tasks, evenly", () => {
    const pool = poolOf(2, Array.from({ length: 9 }, () => task(PIPELINE_MICROS / 4)));
    expect(pushAll(pool)).toHaveLength(8);
    expect([...pool.leases.values()].map(({ inFlight }) => inFlight.size)).toEqual([4, 4]);
    expect(pushAll(poolOf(1, Array.from({ length: 100 }, () => task(1))))).toHaveLength(PIPELINE_TASKS_MAX);
  });

  test("takes first what was pushed once before", () => {
    const [a, b] = [task(), task()];
    const pool = poolOf(1, [a]);
    pool.enqueueFirst(b);
    expect(pushAll(pool)).toEqual([["L0", b]]);
  });

  test("leaves closing leases alone, and blocked ones that have something", () => {
    const pool = poolOf(2, [task(10), task(10), task(10)]);
    const [first, second] = [...pool.leases.values()];
    first.closing = true;
    second.blocked = true;
    expect(pushAll(pool)).toHaveLength(1);
    expect(second.inFlight.size).toBe(1);
  });

  // 1. tasks are pushed while they are thought to take long     2. they turn out short, and the pipeline never runs dry
  // 3. the backlog is what is in flight by then, not what it was once thought to be
  test("grows deeper when tasks turn out shorter, also while the pipeline never empties", () => {
    const pool = poolOf(1, [task(500), task(500)]);
    const inFlight = pushAll(pool).map(([, one]) => one);
    const [only] = [...pool.leases.values()];
    for (const one of inFlight) one.expectedMicros = 10;
    for (let index = 0; index < 100; index += 1) pool.enqueue(task(10));
    for (const one of inFlight) {
      pool.finished(only, one, 0);
      pushAll(pool);
    }
    expect(only.backlogMicros).toBe(10 * only.inFlight.size);
    expect(only.inFlight.size).toBe(PIPELINE_TASKS_MAX);
  });
});

describe("the standing order", () => {
  test("covers the queue in powers of two and is said once", () => {
    const pool = poolOf(0, [task(), task(), task()]);
    expect([pool.order(), pool.order()]).toEqual([4, undefined]);
    pool.forgetOrder();
    expect(pool.order()).toBe(4);
    pool.drainQueue();
    expect([pool.order(), pool.order()]).toEqual([0, undefined]);
  });

  test("never asks for more than the bound, with leases or without", () => {
    for (const held of [0, 1, 500, WANTED_MAX - 1, WANTED_MAX]) {
      const pool = poolOf(held, Array.from({ length: 3000 }, () => task()));
      expect(pool.order()).toBe(WANTED_MAX);
    }
  });
});

describe("giving back", () => {
  test("is for leases idle long enough, or wanted elsewhere while nothing is queued", () => {
    const pool = poolOf(2, []);
    expect(pool.takeIdle(IDLE_KEEP_MS - 1, false)).toEqual([]);
    (pool.leases.get("L1") as Lease).wanted = true;
    expect(pool.takeIdle(0, false).map(({ id }) => id)).toEqual(["L1"]);
    expect(pool.takeIdle(IDLE_KEEP_MS, false).map(({ id }) => id)).toEqual(["L0"]);
    expect(pool.leases.size).toBe(0);
  });

  test("a closing lease goes as soon as its pipeline is empty, though work waits", () => {
    const pool = poolOf(1, [task(), task()]);
    const [[, one]] = pushAll(pool);
    const [only] = [...pool.leases.values()];
    only.closing = true;
    expect(pool.takeIdle(0, true)).toEqual([]);
    pool.finished(only, one, 0);
    expect(pool.takeIdle(0, false)).toEqual([only]);
  });

  test("a pipeline that does not move is stuck when something waits in it", () => {
    const pool = poolOf(2, [task(300), task(300), task(300)]);
    pushAll(pool, 10);
    expect(pool.stuck(10 + STUCK_MS - 1)).toEqual([]);
    expect(pool.stuck(10 + STUCK_MS).map(({ id }) => id)).toEqual(["L0"]);
  });
});

type Act =
  | "enqueue"
  | "first"
  | "grant"
  | "next"
  | "finish"
  | "finishTwice"
  | "unstart"
  | "lose"
  | "close"
  | "block"
  | "newest"
  | "remove"
  | "idle";
const ACTS: readonly Act[] = [
  "enqueue",
  "enqueue",
  "enqueue",
  "first",
  "grant",
  "next",
  "next",
  "next",
  "finish",
  "finish",
  "finishTwice",
  "unstart",
  "lose",
  "close",
  "block",
  "newest",
  "remove",
  "idle",
];

test("in any history tasks are in one place each, pipelines keep their bounds, and closing leases go back", () => {
  const act = fc.record({ act: fc.constantFrom(...ACTS), n: fc.nat(100), micros: fc.option(fc.nat(1500), { nil: undefined }) });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      const world = new World();
      for (const one of acts) world.step(one.act, one.n, one.micros);
      world.finish();
    }),
    { numRuns: 500 },
  );
});

class World {
  readonly pool: Pool = new LeasePool();
  readonly queued = new Set<Task>();
  readonly left = new Set<Task>();
  readonly returned = new Set<string>();
  #all = 0;
  #leases = 0;
  #now = 0;

  step(act: Act, n: number, micros: number | undefined): void {
    const { pool } = this;
    this.#now += n;
    const one = [...pool.leases.values()][n % Math.max(1, pool.leases.size)] as Lease | undefined;
    const flying = one === undefined ? undefined : [...one.inFlight][n % Math.max(1, one.inFlight.size)];
    if (act === "enqueue" || act === "first") this.#submit(task(micros), act === "first");
    else if (act === "grant") pool.granted(lease(`W${this.#leases++}`));
    else if (act === "next") this.#next();
    else if (act === "newest") this.#leave(pool.takeNewest());
    else if (act === "remove") this.#remove([...this.queued][n % Math.max(1, this.queued.size)]);
    else if (act === "idle") this.#idle(n % 2 === 0);
    else if (one === undefined) return;
    else if (act === "close") one.closing = true;
    else if (act === "block") one.blocked = !one.blocked;
    else if (act === "lose") this.#lose(one);
    else if (flying !== undefined) this.#finished(one, flying, act);
    this.#check();
  }

  /** Everything that can run does: nothing stays behind, and every lease goes back. */
  finish(): void {
    const { pool } = this;
    for (const one of pool.leases.values()) one.closing = true;
    this.step("grant", 0, undefined);
    for (let turn = 0; turn < 1000 && (pool.queued > 0 || pool.leases.size > 0); turn += 1) {
      for (const one of pool.leases.values()) for (const flying of [...one.inFlight]) this.#finished(one, flying, "finish");
      this.#next();
      if (pool.queued === 0) for (const one of pool.leases.values()) one.closing = true;
      this.#idle(false);
    }
    expect(pool.leases.size).toBe(0);
    expect(this.returned.size).toBe(this.#leases);
    expect(this.left.size).toBe(this.#all);
  }

  #submit(made: Task, first: boolean): void {
    this.#all += 1;
    this.queued.add(made);
    if (first) this.pool.enqueueFirst(made);
    else this.pool.enqueue(made);
  }

  #next(): void {
    const next = this.pool.next(this.#now);
    if (next === undefined) return;
    expect(next.lease.closing).toBe(false);
    expect(this.queued.delete(next.task)).toBe(true);
  }

  #finished(one: Lease, flying: Task, act: Act): void {
    this.pool.finished(one, flying, this.#now);
    if (act === "finishTwice") this.pool.finished(one, flying, this.#now);
    if (act !== "unstart") return this.#leave(flying, false);
    this.queued.add(flying);
    this.pool.enqueueFirst(flying);
  }

  #lose(one: Lease): void {
    expect(this.pool.lost(one.id)).toBe(one);
    expect(this.pool.lost(one.id)).toBeUndefined();
    this.returned.add(one.id);
    for (const flying of one.inFlight) {
      this.queued.add(flying);
      this.pool.enqueue(flying);
    }
  }

  #remove(one: Task | undefined): void {
    if (one === undefined) return;
    this.pool.remove(one);
    this.#leave(one);
  }

  #leave(one: Task | undefined, wasQueued = true): void {
    if (one === undefined) return;
    if (wasQueued) expect(this.queued.delete(one)).toBe(true);
    expect(this.left.has(one)).toBe(false);
    this.left.add(one);
  }

  #idle(all: boolean): void {
    for (const one of this.pool.takeIdle(this.#now, all)) {
      expect(one.inFlight.size).toBe(0);
      expect(this.returned.has(one.id)).toBe(false);
      this.returned.add(one.id);
    }
    for (const one of this.pool.leases.values()) if (one.closing) expect(one.inFlight.size).toBeGreaterThan(0);
  }

  #check(): void {
    expect(this.pool.queued).toBe(this.queued.size);
    let flying = 0;
    for (const one of this.pool.leases.values()) {
      flying += one.inFlight.size;
      expect(one.inFlight.size).toBeLessThanOrEqual(PIPELINE_TASKS_MAX);
      const charged = [...one.inFlight].reduce((sum, { chargedMicros }) => sum + chargedMicros, 0);
      expect(one.backlogMicros).toBe(charged);
      if (one.inFlight.size > 1) expect(charged).toBeLessThanOrEqual(PIPELINE_MICROS);
    }
    expect(this.queued.size + this.left.size + flying).toBe(this.#all);
    const wanted = this.pool.order();
    if (wanted !== undefined) expect(wanted).toBeLessThanOrEqual(WANTED_MAX);
  }
}
