// A slow network: large frames leave one after the other at its rate, in the order of their connection, or are given up together.

import { expect, it } from "vitest";
import { Pace } from "../../../runtime/transport/pace.ts";
import { HandClock } from "../../hand-clock.ts";

const MIB = 1024 * 1024;

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
  clock.advance(999 - clock.time);
  expect(log).toEqual(["small!"]);
  clock.advance(1000 - clock.time);
  clock.advance(2000 - clock.time);
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
  clock.advance(5000 - clock.time);
  expect(log).toEqual(["-a", "-b"]);
});
