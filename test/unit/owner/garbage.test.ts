// When a process collects its garbage.

import { beforeEach, expect, test } from "vitest";
import { Garbage } from "../../../runtime/owner/objects/garbage.ts";
import { HandClock } from "../../hand-clock.ts";

const MIB = 1024 * 1024;

let clock: HandClock;
let world: { busyMs: number; stirs: number; heapBytes: number; live: number; holds: boolean; collections: number };

beforeEach(() => {
  clock = new HandClock();
  world = { busyMs: 0, stirs: 0, heapBytes: 20 * MIB, live: 20 * MIB, holds: false, collections: 0 };
});

function started(): Garbage {
  return new Garbage({
    clock, holds: () => world.holds, busyMs: () => world.busyMs, stirs: () => world.stirs,
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
  clock.advance(ms);
  clock.advance(20_000);
}

test("a process that idles collects after work when it may hold something of others, once", () => {
  started();
  world.holds = true;
  works(100);
  expect(world.collections).toBe(1);
  clock.advance(60_000);
  expect(world.collections).toBe(1);
});

test("however short the work was that may have left something", () => {
  started();
  world.holds = true;
  world.busyMs += 1;
  clock.advance(20_000);
  expect(world.collections).toBe(0);
  world.stirs += 1;
  clock.advance(20_000);
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
    clock.advance(1000);
  }
  expect(world.collections).toBe(0);
});

test("asked, it collects at once, and not again before it has rested", () => {
  const garbage = started();
  garbage.asked();
  clock.advance(0);
  garbage.asked();
  garbage.asked();
  clock.advance(50);
  expect(world.collections).toBe(1);
  clock.advance(50);
  expect(world.collections).toBe(2);
  garbage.close();
});
