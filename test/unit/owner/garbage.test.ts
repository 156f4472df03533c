// When a process collects its garbage.

import { beforeEach, expect, test } from "vitest";
import { Garbage } from "../../../runtime/owner/objects/garbage.ts";
import type { Clock } from "../../../runtime/seams.ts";

const MIB = 1024 * 1024;

/** Its timers ring when it is told. */
class HandClock {
  time = 0;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.time;
  }
  after(ms: number, run: () => void): { cancel: () => void } {
    const timer = { at: this.time + ms, run };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((one) => one !== timer)) };
  }
  pass(ms: number): void {
    const until = this.time + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((one) => one !== next);
      this.time = next.at;
      next.run();
    }
    this.time = until;
  }
}

let clock: HandClock;
let world: { busyMs: number; stirs: number; heapBytes: number; live: number; holds: boolean; collections: number };

beforeEach(() => {
  clock = new HandClock();
  world = { busyMs: 0, stirs: 0, heapBytes: 20 * MIB, live: 20 * MIB, holds: false, collections: 0 };
});

function started(): Garbage {
  return new Garbage({
    clock: clock as unknown as Clock, holds: () => world.holds, busyMs: () => world.busyMs, stirs: () => world.stirs,
    heapBytes: () => world.heapBytes,
    collect: () => {
      world.collections += 1;
      world.heapBytes = world.live;
    },
  });
}

/** Works for so long, then idles. */
function works(ms: number): void {
  world.busyMs += ms;
  clock.pass(ms);
  clock.pass(20_000);
}

test("a process that idles collects after work when it may hold something of others, once", () => {
  started();
  world.holds = true;
  works(100);
  expect(world.collections).toBe(1);
  clock.pass(60_000);
  expect(world.collections).toBe(1);
});

test("however short the work was that may have left something", () => {
  started();
  world.holds = true;
  world.busyMs += 1;
  clock.pass(20_000);
  expect(world.collections).toBe(0);
  world.stirs += 1;
  clock.pass(20_000);
  expect(world.collections).toBe(1);
});

test("it gives back the memory that it began with, also when it holds nothing of others", () => {
  started();
  world.heapBytes = 250 * MIB;
  works(5000);
  expect([world.collections, world.heapBytes]).toEqual([2, 20 * MIB]);
  world.heapBytes += 10 * MIB;
  works(100);
  expect(world.collections).toBe(2);
});

test("a large heap is not looked through for little", () => {
  started();
  world.live = 1000 * MIB;
  world.heapBytes = 1600 * MIB;
  works(100);
  world.heapBytes += 400 * MIB;
  works(100);
  expect(world.collections).toBe(2);
  world.heapBytes += 200 * MIB;
  works(100);
  expect(world.collections).toBe(4);
});

test("a process that works leaves it to V8", () => {
  started();
  world.heapBytes = 250 * MIB;
  for (let turn = 0; turn < 20; turn += 1) {
    world.busyMs += 500;
    clock.pass(1000);
  }
  expect(world.collections).toBe(0);
});

test("asked, it collects at once, and not again before it has rested", () => {
  const garbage = started();
  garbage.asked();
  clock.pass(0);
  garbage.asked();
  garbage.asked();
  clock.pass(50);
  expect(world.collections).toBe(1);
  clock.pass(50);
  expect(world.collections).toBe(2);
  garbage.close();
});
