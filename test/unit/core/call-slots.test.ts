// Which calls of an actor run at once: slots a group, order within it, calls that would wait for themselves.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CallSlots, type SlotCall } from "../../../runtime/core/index.ts";

function call(key: string, group = "", within: readonly string[] = []): SlotCall {
  return { key, group, within };
}
function slots(limits: Partial<ConstructorParameters<typeof CallSlots>[0]> = {}): CallSlots<SlotCall> {
  return new CallSlots({ slots: 1, groups: {}, reentrant: false, ...limits });
}
function startAll(of: CallSlots<SlotCall>): string[] {
  const started: string[] = [];
  for (let next = of.next(); next !== undefined; next = of.next()) started.push(next.key);
  return started;
}

describe("slots", () => {
  test("the default group has slots of its own beside the named ones", () => {
    const of = slots({ slots: 2, groups: { io: 1 } });
    for (const one of ["a", "b", "c"]) of.enqueue(call(one));
    for (const one of ["x", "y"]) of.enqueue(call(one, "io"));
    expect(startAll(of)).toEqual(["a", "b", "x"]);
    of.ended(call("x", "io"));
    expect(startAll(of)).toEqual(["y"]);
    of.ended(call("b"));
    expect(startAll(of)).toEqual(["c"]);
    expect([of.groups, of.hasGroup("io"), of.hasGroup("no")]).toEqual([["io"], true, false]);
  });

  test("a reentrant actor runs calls made within a running one beside it, and others not", () => {
    const of = slots({ reentrant: true });
    of.enqueue(call("a"));
    startAll(of);
    of.enqueue(call("b", "", ["elsewhere"]));
    of.enqueue(call("c", "", ["elsewhere", "a"]));
    expect(startAll(of)).toEqual(["c"]);
    of.ended(call("a"));
    expect(startAll(of)).toEqual(["b"]);
  });
});

describe("a call that the running one waits for", () => {
  test("is taken out of the queue, whichever of the two is known first", () => {
    const first = slots();
    first.enqueue(call("a"));
    startAll(first);
    for (const one of ["b", "c"]) first.enqueue(call(one));
    expect(first.stuck("a", "c")?.key).toBe("c");
    first.ended(call("a"));
    expect(startAll(first)).toEqual(["b"]);

    const late = slots();
    late.enqueue(call("a"));
    startAll(late);
    expect(late.stuck("a", "b")).toBeUndefined();
    late.enqueue(call("b"));
    expect(late.stuckOnArrival("b")?.key).toBe("b");
  });

  test("is left alone while a slot may come free, and found when the last one waits too", () => {
    const of = slots({ slots: 2 });
    for (const one of ["a", "b", "c", "d"]) of.enqueue(call(one));
    expect(startAll(of)).toEqual(["a", "b"]);
    expect(of.stuck("a", "c")).toBeUndefined();
    expect(of.stuck("b", "d")?.key).toBe("d");
  });

  test("is left alone when it waits no more, or never ran here", () => {
    const of = slots({ slots: 2 });
    for (const one of ["a", "b", "c", "d"]) of.enqueue(call(one));
    startAll(of);
    of.stuck("a", "c");
    of.unstuck("a");
    expect(of.stuck("b", "d")).toBeUndefined();
    expect(of.stuck("z", "c")).toBeUndefined();
  });
});

test("in any history no group runs more than its slots, calls of a group start in their order, and all run", () => {
  const kind = fc.constantFrom("call", "call", "end", "stuck");
  const act = fc.record({ kind, group: fc.constantFrom("", "g", "h"), n: fc.nat(50) });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 120 }), fc.boolean(), (acts, reentrant) => {
      const limits: Record<string, number> = { "": 1, g: 2, h: 3 };
      const of = slots({ groups: { g: 2, h: 3 }, reentrant });
      const running: SlotCall[] = [];
      const open = new Set<string>();
      const started = new Map<string, number>();
      const held = new Map<string, number>();
      let keys = 0;
      const pump = () => {
        for (let next = of.next(); next !== undefined; next = of.next()) {
          running.push(next);
          open.delete(next.key);
          if (next.within.length > 0) continue;
          held.set(next.group, (held.get(next.group) ?? 0) + 1);
          expect(held.get(next.group)).toBeLessThanOrEqual(limits[next.group]);
          expect(Number(next.key)).toBeGreaterThan(started.get(next.group) ?? -1);
          started.set(next.group, Number(next.key));
        }
      };
      const end = (n: number) => {
        const [one] = running.splice(n % Math.max(1, running.length), 1);
        if (one === undefined) return;
        if (one.within.length === 0) held.set(one.group, (held.get(one.group) as number) - 1);
        of.ended(one);
      };
      for (const { kind, group, n } of acts) {
        if (kind === "end") end(n);
        else if (kind === "stuck") {
          const taken = of.stuck(running[n % Math.max(1, running.length)]?.key ?? "none", String(n % Math.max(1, keys)));
          if (taken !== undefined) expect(open.delete(taken.key)).toBe(true);
        } else {
          const within = reentrant && n % 3 === 0 && running.length > 0 ? [running[0].key] : [];
          const made = call(String(keys++), group, within);
          open.add(made.key);
          of.enqueue(made);
        }
        pump();
        expect(of.running).toBe(running.length);
      }
      while (running.length > 0) {
        end(0);
        pump();
      }
      expect([...open]).toEqual([]);
    }),
    { numRuns: 300 },
  );
});
