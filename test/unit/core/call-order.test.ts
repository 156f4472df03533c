// The receiver's side of actor calls: in order, and none twice.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallOrder, KEPT_BYTES, WINDOW } from "../../../runtime/core/index.ts";

/** Lets calls arrive and notes which are started. */
class Receiver {
  readonly order: CallOrder<number, string>;
  readonly started: number[] = [];

  constructor(acknowledged = 0) {
    this.order = new CallOrder(acknowledged);
  }

  arrive(order: number): string {
    const arrival = this.order.arrived(order, order);
    if (arrival.kind === "start") {
      this.started.push(order);
      for (let next = this.order.nextEarly(); next !== undefined; next = this.order.nextEarly()) this.started.push(next);
    }
    return arrival.kind === "repeat" ? arrival.result : arrival.kind;
  }
}

describe("a call", () => {
  test("starts in its turn, and early ones right after the one they waited for", () => {
    const receiver = new Receiver();
    expect([3, 2, 1, 4].map((order) => receiver.arrive(order))).toEqual(["early", "early", "start", "start"]);
    expect(receiver.started).toEqual([1, 2, 3, 4]);
  });

  test("that arrives again is joined while it runs, answered again once it ended, forgotten once that is acknowledged", () => {
    const receiver = new Receiver();
    expect(receiver.arrive(1)).toBe("start");
    expect(receiver.arrive(1)).toBe("running");
    receiver.order.ended(1, "one");
    expect(receiver.arrive(1)).toBe("one");
    receiver.order.ended(1, "another");
    expect(receiver.arrive(1)).toBe("one");
    receiver.order.acknowledged(1);
    expect(receiver.arrive(1)).toBe("forgotten");
    expect(receiver.started).toEqual([1]);
  });

  test("that runs is never forgotten, however many came after it", () => {
    const receiver = new Receiver();
    for (let order = 1; order <= WINDOW * 2; order += 1) expect(receiver.arrive(order)).toBe("start");
    expect(receiver.arrive(1)).toBe("running");
    for (let order = 2; order <= WINDOW * 2; order += 1) receiver.order.ended(order, `${order}`);
    expect(receiver.arrive(1)).toBe("running");
    expect(receiver.arrive(2)).toBe("forgotten");
    expect(receiver.arrive(WINDOW * 2)).toBe(`${WINDOW * 2}`);
    expect(receiver.order.idle).toBe(false);
    receiver.order.ended(1, "one");
    expect(receiver.arrive(1)).toBe("one");
    expect(receiver.order.idle).toBe(true);
  });
});

// 1. a caller has calls 1 to 7 answered      2. the receiver forgets the caller to make room
// 3. call 8 arrives and says that 7 are acknowledged: it must not wait for ever for calls that will never come again
test("a stream that was forgotten goes on where its caller is", () => {
  const receiver = new Receiver(7);
  expect(receiver.arrive(7)).toBe("forgotten");
  expect(receiver.arrive(9)).toBe("early");
  expect(receiver.arrive(8)).toBe("start");
  expect(receiver.started).toEqual([8, 9]);
});

test("any order of arrival, with repeats, ends and acknowledgements, starts each call once and in order", () => {
  const arrivals = fc.integer({ min: 1, max: 40 }).chain((count) => {
    const all = Array.from({ length: count }, (_, index) => index + 1);
    const repeats = fc.array(fc.integer({ min: 1, max: count }), { maxLength: 40 });
    return repeats.chain((again) =>
      fc.shuffledSubarray([...all, ...again], { minLength: count + again.length }).map((order) => ({ all, order })),
    );
  });
  fc.assert(
    fc.property(arrivals, fc.infiniteStream(fc.nat(9)), ({ all, order }, dice) => {
      const receiver = new Receiver();
      const ended = new Map<number, string>();
      let acknowledged = 0;
      for (const call of order) {
        const before = receiver.started.length;
        const answer = receiver.arrive(call);
        // What was acknowledged may be forgotten; what was not must be answered.
        if (ended.has(call)) expect([ended.get(call), call <= acknowledged ? "forgotten" : undefined]).toContain(answer);
        else if (receiver.started.slice(0, before).includes(call)) expect(answer).toBe("running");
        const running = receiver.started.filter((one) => !ended.has(one));
        const pick = running[dice.next().value % Math.max(1, running.length)];
        if (pick !== undefined && dice.next().value > 4) {
          ended.set(pick, `result ${pick}`);
          receiver.order.ended(pick, `result ${pick}`);
        }
        if (dice.next().value > 6) while (ended.has(acknowledged + 1)) acknowledged += 1;
        receiver.order.acknowledged(acknowledged);
      }
      expect(receiver.started).toEqual(all);
    }),
  );
});

test("results are kept within bytes, of a caller and of all callers of an actor", () => {
  const kept = { bytes: 0 };
  const callers = Array.from({ length: 10 }, () => new CallOrder<number, string>(0, kept));
  const third = Math.floor(KEPT_BYTES.caller / 3);
  for (const order of callers) {
    for (let number = 1; number <= 4; number += 1) {
      order.arrived(number, number);
      order.ended(number, `result ${number}`, third);
    }
  }
  expect(kept.bytes).toBeLessThanOrEqual(KEPT_BYTES.actor);
  const [first, last] = [callers[0], callers[9]];
  expect([1, 2, 3, 4].map((number) => first.arrived(number, number).kind)).toEqual(["forgotten", "repeat", "repeat", "repeat"]);
  expect([1, 2, 3, 4].map((number) => last.arrived(number, number).kind)).toEqual(Array(4).fill("forgotten"));
  for (const order of callers) order.acknowledged(4);
  expect(kept.bytes).toBe(0);
});
