// The caller's side of an actor: order a caller, over losses and restarts, with exact budgets.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ActorCalls, type ActorCallLife } from "../../../runtime/core/index.ts";

interface Call extends ActorCallLife {
  readonly name: number;
}

let names = 0;
function call(caller = 0, retriesLeft = 0, ready = true): Call {
  return { name: names++, caller, ready, stream: 0, order: 0, attempt: 0, retriesLeft, afterLoss: false };
}

function alive(incarnation = 0): ActorCalls<Call> {
  const calls = new ActorCalls<Call>();
  calls.alive(incarnation);
  return calls;
}

describe("calls of one caller", () => {
  test("wait for the actor, then go out in order up to the first that lacks its arguments", () => {
    const calls = new ActorCalls<Call>();
    const [a, b, c] = [call(), call(0, 0, false), call()];
    for (const one of [a, b, c]) expect(calls.sendNow(one)).toBe(false);
    expect(calls.sendable(0)).toEqual([]);
    expect(calls.alive(0)).toEqual({ callers: [0], failed: [] });
    expect(calls.sendable(0)).toEqual([a]);
    b.ready = true;
    expect(calls.sendable(0)).toEqual([b, c]);
    expect([a.order, b.order, c.order]).toEqual([1, 2, 3]);
    expect(calls.size).toBe(3);
  });

  test("do not wait for those of another", () => {
    const calls = alive();
    expect(calls.sendNow(call(1, 0, false))).toBe(false);
    expect(calls.sendNow(call(2))).toBe(true);
  });

  // A task calls an actor, awaits the answer, and calls again: the second call must not look like a repeat of the first.
  test("never have the same order in the same stream, whatever has ended in between", () => {
    const calls = alive();
    const seen = new Set<string>();
    for (let round = 0; round < 3; round += 1) {
      for (let caller = 1; caller <= 600; caller += 1) {
        const one = call(caller);
        expect(calls.sendNow(one)).toBe(true);
        seen.add(`${one.stream}/${one.order}`);
        expect(calls.ended(one)).toBe(true);
        expect(calls.ended(one)).toBe(false);
      }
    }
    expect(seen.size).toBe(1800);
  });
});

describe("a restart", () => {
  test("sends again what has retries, first and in order, and fails the rest of what was in flight", () => {
    const calls = alive();
    const [a, b, c, d] = [call(0, 1), call(0, 0), call(0, -1), call(0, 0, false)];
    for (const one of [a, b, c, d]) calls.sendNow(one);
    calls.lost();
    expect(calls.sendable(0)).toEqual([]);
    expect(calls.restarting(1)).toEqual([b]);
    expect(calls.alive(1)).toEqual({ callers: [0], failed: [] });
    d.ready = true;
    expect(calls.sendable(0)).toEqual([a, c, d]);
    expect([a, c, d].map(({ order, attempt, retriesLeft }) => [order, attempt, retriesLeft])).toEqual([
      [1, 1, 0],
      [2, 1, -1],
      [3, 0, 0],
    ]);
  });

  // 1. a call is in flight, the connection breaks      2. the actor restarts before the caller asks about it
  // 3. the first news is "alive as incarnation 1": the call of the earlier life must not wait for ever
  test("that nobody told of is charged like one that was", () => {
    const calls = alive();
    const [a, b] = [call(0, 1), call(0, 0)];
    for (const one of [a, b]) calls.sendNow(one);
    calls.lost();
    expect(calls.alive(1)).toEqual({ callers: [0], failed: [b] });
    expect(calls.unanswered()).toEqual([]);
    expect(calls.sendable(0)).toEqual([a]);
    expect(a).toMatchObject({ order: 1, attempt: 1, retriesLeft: 0 });
  });

  test("fails what is made meanwhile and has no retries; what was made before waits", () => {
    const calls = alive();
    const [before, late, patient] = [call(0, 0, false), call(), call(0, 1)];
    calls.sendNow(before);
    calls.lost();
    for (const one of [late, patient]) calls.sendNow(one);
    expect([late, patient].map((one) => calls.refuses(one))).toEqual([false, false]);
    expect(calls.restarting(1)).toEqual([late]);
    expect([call(), call(0, 1)].map((one) => calls.refuses(one))).toEqual([true, false]);
    // A further try of a call has paid for its wait.
    expect(calls.refuses({ ...call(), attempt: 1 })).toBe(false);
    before.ready = true;
    calls.alive(1);
    expect(calls.sendable(0)).toEqual([before, patient]);
    expect(calls.refuses(call())).toBe(false);
    expect(calls.size).toBe(2);
  });

  test("is waited for by who never reached the actor", () => {
    const calls = new ActorCalls<Call>();
    expect(calls.restarting(3)).toEqual([]);
    expect(calls.refuses(call())).toBe(false);
  });

  test("waits with a loss that the actor survives", () => {
    const calls = alive();
    calls.lost();
    const one = call();
    calls.sendNow(one);
    calls.alive(0);
    expect(calls.sendable(0)).toEqual([one]);
    calls.lost();
    expect(calls.restarting(1)).toEqual([one]);
  });

  test("is charged once, however often and late it is told", () => {
    const calls = alive();
    const a = call(0, 2);
    calls.sendNow(a);
    expect([calls.restarting(1), calls.restarting(1), calls.restarting(0)]).toEqual([[], [], undefined]);
    expect(calls.alive(0)).toEqual({ callers: [], failed: [] });
    expect(calls.state).toBe("restarting");
    calls.alive(1);
    calls.sendable(0);
    expect(calls.restarting(1)).toBeUndefined();
    calls.lost();
    expect(calls.restarting(1)).toBeUndefined();
    expect([calls.state, a.retriesLeft, a.attempt]).toEqual(["lost", 1, 1]);
  });
});

test("death fails every call, and nothing follows it", () => {
  const calls = alive();
  const [a, b] = [call(), call(0, 5, false)];
  for (const one of [a, b]) calls.sendNow(one);
  expect(calls.died()).toEqual([a, b]);
  expect(calls.died()).toEqual([]);
  expect(calls.restarting(7)).toBeUndefined();
  calls.lost();
  expect(calls.alive(7)).toEqual({ callers: [], failed: [] });
  expect([calls.state, calls.size]).toEqual(["dead", 0]);
});

test("a loss that the actor survives keeps what is in flight, to be sent again as it was", () => {
  const calls = alive();
  const [a, b] = [call(), call()];
  for (const one of [a, b]) calls.sendNow(one);
  calls.ended(a);
  calls.lost();
  expect(calls.unanswered()).toEqual([b]);
  expect(calls.acknowledged(0)).toBe(1);
  calls.alive(0);
  expect(b).toMatchObject({ order: 2, attempt: 0 });
});

type Act = {
  readonly act: "call" | "pump" | "end" | "lost" | "restart" | "alive" | "skip" | "ready";
  readonly caller: number;
  readonly n: number;
};

test("in any history calls of a caller are sent in order, end once, and go out as often as their retries allow", () => {
  const act: fc.Arbitrary<Act> = fc.record({
    act: fc.constantFrom<Act["act"]>("call", "call", "call", "pump", "end", "end", "lost", "restart", "alive", "skip", "ready"),
    caller: fc.nat(2),
    n: fc.nat(100),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 150 }), (acts) => {
      const world = new World();
      for (const one of acts) world.step(one);
      world.finish();
    }),
    { numRuns: 500 },
  );
});

class World {
  readonly calls = new ActorCalls<Call>();
  readonly all: { readonly call: Call; readonly retries: number; sent: number; ended: number }[] = [];
  /** Names of what was sent, a stream and incarnation. */
  readonly streams = new Map<string, { order: number; name: number }>();
  #incarnation = 0;

  step({ act, caller, n }: Act): void {
    const { calls } = this;
    if (act === "call") {
      const made = call(caller, (n % 4) - 1, n % 5 !== 0);
      this.all.push({ call: made, retries: made.retriesLeft, sent: 0, ended: 0 });
      if (calls.refuses(made)) this.#failed([made]);
      else if (calls.sendNow(made)) this.#sent(made);
    } else if (act === "pump") this.#pump(caller);
    else if (act === "ready") for (const { call: one } of this.all) one.ready = true;
    else if (act === "end") this.#end(n);
    else if (act === "lost") calls.lost();
    else if (act === "restart") {
      if (calls.state !== "unplaced") this.#incarnation += 1;
      this.#failed(calls.restarting(this.#incarnation) ?? []);
    } else {
      if (act === "skip" && calls.state !== "unplaced") this.#incarnation += 1;
      const { callers, failed } = calls.alive(this.#incarnation);
      this.#failed(failed);
      for (const one of callers) this.#pump(one);
    }
    expect(calls.size).toBe(this.all.filter(({ ended }) => ended === 0).length);
  }

  finish(): void {
    this.step({ act: "ready", caller: 0, n: 0 });
    this.step({ act: "alive", caller: 0, n: 0 });
    const open = this.calls.unanswered();
    for (const one of open) this.#record(one).ended += Number(this.calls.ended(one));
    for (const { ended, sent, retries } of this.all) {
      expect(ended).toBe(1);
      if (retries >= 0) expect(sent).toBeLessThanOrEqual(retries + 1);
    }
    expect(this.calls.size).toBe(0);
  }

  #end(n: number): void {
    const open = this.calls.unanswered();
    const one = open[n % Math.max(1, open.length)];
    if (one === undefined) return;
    expect(this.calls.acknowledged(one.caller)).toBeLessThan(one.order);
    expect(this.calls.ended(one)).toBe(true);
    expect(this.calls.ended(one)).toBe(false);
    this.#record(one).ended += 1;
  }

  #pump(caller: number): void {
    for (const one of this.calls.sendable(caller)) this.#sent(one);
  }

  #failed(failed: readonly Call[]): void {
    for (const one of failed) {
      expect(one.retriesLeft).toBe(0);
      this.#record(one).ended += 1;
    }
  }

  #sent(one: Call): void {
    const record = this.#record(one);
    record.sent += 1;
    expect(one.attempt).toBe(record.sent - 1);
    if (record.retries >= 0) expect(one.attempt + one.retriesLeft).toBe(record.retries);
    const key = `${one.caller}/${this.#incarnation}`;
    const last = this.streams.get(key);
    expect(one.order).toBe((last?.order ?? 0) + 1);
    if (last !== undefined) expect(one.name).toBeGreaterThan(last.name);
    this.streams.set(key, { order: one.order, name: one.name });
  }

  #record(one: Call): World["all"][number] {
    return this.all.find(({ call: made }) => made === one) as World["all"][number];
  }
}
