// A slow network: large frames leave one after the other at its rate, in the order of their connection, or are given up together.

import { expect, it } from "vitest";
import type { Clock } from "../../../runtime/seams.ts";
import { Pace } from "../../../runtime/transport/pace.ts";

const MIB = 1024 * 1024;

class HandClock implements Clock {
  time = 0;
  #timers: { readonly at: number; readonly callback: () => void }[] = [];
  now(): number { return this.time; }
  wallNow(): number { return this.time; }
  soon(callback: () => void): void { callback(); }
  after(ms: number, callback: () => void) {
    this.#timers.push({ at: this.time + ms, callback });
    return { cancel() {} };
  }
  until(time: number): void {
    this.time = time;
    const due = this.#timers.filter(({ at }) => at <= time).sort((one, other) => one.at - other.at);
    this.#timers = this.#timers.filter(({ at }) => at > time);
    for (const { callback } of due) callback();
  }
}

function world() {
  const clock = new HandClock();
  const pace = new Pace(clock);
  const log: string[] = [];
  const through = (lane: ReturnType<Pace["lane"]>, name: string, bytes: number) => {
    const isHeld = lane.holds(bytes, () => ({ send: () => log.push(name), drop: () => log.push(`-${name}`) }));
    if (!isHeld) log.push(`${name}!`);
  };
  return { clock, pace, log, through };
}

it("leaves everything alone until a rate is set", () => {
  const { pace, log, through } = world();
  through(pace.lane(), "a", 100 * MIB);
  expect(log).toEqual(["a!"]);
});

it("lets large frames of all connections pass one after the other, small ones behind those of their own", () => {
  const { clock, pace, log, through } = world();
  pace.set(MIB);
  const [one, other] = [pace.lane(), pace.lane()];
  through(one, "a", MIB);
  through(other, "small", 10);
  through(other, "b", MIB);
  through(one, "c", 10);
  expect([one.pendingBytes, other.pendingBytes]).toEqual([MIB + 10, MIB]);
  clock.until(999);
  expect(log).toEqual(["small!"]);
  clock.until(1000);
  clock.until(2000);
  expect([...log].sort()).toEqual(["a", "b", "c", "small!"]);
  expect(log.indexOf("a")).toBeLessThan(log.indexOf("c"));
  expect([one.pendingBytes, other.pendingBytes]).toEqual([0, 0]);
});

it("drops what waits when its connection ends, once", () => {
  const { clock, pace, log, through } = world();
  pace.set(MIB);
  const lane = pace.lane();
  through(lane, "a", MIB);
  through(lane, "b", 10);
  lane.end();
  lane.end();
  clock.until(5000);
  expect(log).toEqual(["-a", "-b"]);
});
