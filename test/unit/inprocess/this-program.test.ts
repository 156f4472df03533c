// The world of an inline cluster: timers that end with their process, and that give what stood still its turn.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ThisProgram } from "../../../runtime/inprocess/this-program.ts";
import type { Clock, Spawner } from "../../../runtime/seams.ts";
import { systemRandom } from "../../../runtime/system.ts";

/** A clock that stands until it is moved; timers ring in their order, however late. */
class StandingClock implements Clock {
  #now = 0;
  #timers: { at: number; ring: () => void }[] = [];
  readonly now = () => this.#now;
  readonly wallNow = () => this.#now;

  after(delayMs: number, ring: () => void) {
    const timer = { at: this.#now + delayMs, ring };
    this.#timers.push(timer);
    return { cancel: () => void (this.#timers = this.#timers.filter((one) => one !== timer)) };
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  get pending(): number {
    return this.#timers.length;
  }

  /** What is due by then rings; nothing that comes of it does. */
  move(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter(({ at }) => at <= this.#now).sort((a, b) => a.at - b.at);
    this.#timers = this.#timers.filter((one) => !due.includes(one));
    for (const { ring } of due) ring();
  }
}

const NONE: Spawner = { spawn: () => { throw new Error("nothing is started here"); } };

let base: StandingClock;
let world: ThisProgram;
beforeEach(() => {
  base = new StandingClock();
  world = new ThisProgram({ clock: base, random: systemRandom });
});
afterEach(() => world.close());

describe("a timer", () => {
  test("rings when it is due", () => {
    const { clock } = world.seams(world.begin("worker", "n"), NONE);
    const rung: number[] = [];
    clock.after(500, () => rung.push(clock.now()));
    base.move(499);
    expect(rung).toEqual([]);
    base.move(1);
    expect(rung).toEqual([500]);
  });

  test("that is late waits once more, as long as itself or a second", () => {
    const { clock } = world.seams(world.begin("worker", "n"), NONE);
    const rung: string[] = [];
    clock.after(300, () => rung.push("short"));
    clock.after(30_000, () => rung.push("long"));
    base.move(60_000);
    expect(rung).toEqual([]);
    base.move(300);
    expect(rung).toEqual(["short"]);
    base.move(60_000);
    expect(rung).toEqual(["short", "long"]);
  });

  test("that was called off meanwhile does not ring", () => {
    const { clock } = world.seams(world.begin("worker", "n"), NONE);
    const rung: string[] = [];
    const timer = clock.after(300, () => rung.push("late"));
    base.move(60_000);
    timer.cancel();
    base.move(60_000);
    expect([rung, base.pending]).toEqual([[], 0]);
  });

  test("ends with its process", () => {
    const process = world.begin("worker", "n");
    const { clock } = world.seams(process, NONE);
    const rung: string[] = [];
    clock.after(10, () => rung.push("timer"));
    clock.soon(() => rung.push("turn"));
    world.kill(process);
    clock.after(10, () => rung.push("of the dead"));
    base.move(100);
    expect([rung, base.pending]).toEqual([[], 0]);
  });
});

test("process.exit ends the place it was called in, and its caller goes no further", () => {
  const worker = world.begin("worker", "n");
  const codes: number[] = [];
  worker.exit = (code) => codes.push(code);
  const { clock } = world.seams(worker, NONE);
  let thrown: unknown;
  clock.soon(() => {
    try {
      process.exit(4);
    } catch (error) {
      thrown = error;
    }
  });
  base.move(0);
  expect(codes).toEqual([4]);
  expect(thrown).toMatchObject({ name: "WorkerCrashedError", exitCode: 4 });
});
