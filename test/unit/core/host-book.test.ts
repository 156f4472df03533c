// Which host process takes an actor.

import fc from "fast-check";
import { expect, test } from "vitest";
import { HostBook } from "../../../runtime/core/index.ts";

function book(): { seat: (actor: string, kind?: string) => string; of: HostBook } {
  const of = new HostBook({ actorsPerHost: 10, actorsBeforeNext: 4, cpus: 2 });
  let hosts = 0;
  return { of, seat: (actor, kind = "k") => of.seat(actor, kind, () => `h${(hosts += 1)}`).host.id };
}

test("actors fill one host, then one a CPU alike, then more", () => {
  const { seat, of } = book();
  const placed = Array.from({ length: 21 }, (_, index) => seat(`a${index}`));
  expect(placed.slice(0, 8)).toEqual(["h1", "h1", "h1", "h1", "h2", "h2", "h2", "h2"]);
  expect(["h1", "h2", "h3"].map((id) => of.get(id)?.actors.size)).toEqual([10, 10, 1]);
  expect(seat("other", "l")).toBe("h4");
  expect(seat("a0")).toBe("h1");
});

test("what leaves makes room; a host that is gone is nobody's", () => {
  const { seat, of } = book();
  seat("a");
  seat("b");
  expect(of.leave("a")).toBeUndefined();
  expect(of.leave("b")?.id).toBe("h1");
  expect(of.leave("b")).toBeUndefined();
  expect(seat("c")).toBe("h1");
  of.gone("h1");
  expect(of.ofActor("c")).toBeUndefined();
  expect(seat("c")).toBe("h2");
});

test("a host that takes nobody is passed over", () => {
  const { seat, of } = book();
  seat("a");
  expect(of.seat("b", "k", () => "new", ({ id }) => id !== "h1").host.id).toBe("new");
  expect(seat("c")).toBe("h1");
});

test("in any history no host is over its limit, and every actor has one seat", () => {
  const what = fc.constantFrom("seat", "seat", "seat", "leave", "gone");
  const act = fc.record({ kind: fc.constantFrom("k", "l"), act: what, n: fc.nat(60) });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      const { seat, of } = book();
      const seats = new Map<string, string>();
      for (const { kind, act: done, n } of acts) {
        const actor = `${kind}${n}`;
        if (done === "seat") seats.set(actor, seat(actor, kind));
        else if (done === "leave") {
          of.leave(actor);
          seats.delete(actor);
        } else {
          const id = `h${(n % 5) + 1}`;
          of.gone(id);
          for (const [one, host] of seats) if (host === id) seats.delete(one);
        }
        for (const [one, host] of seats) expect(of.ofActor(one)?.id).toBe(host);
        for (const id of new Set(seats.values())) {
          const { actors } = of.get(id) as { actors: Set<string> };
          expect(actors.size).toBeLessThanOrEqual(10);
          expect([...actors].every((one) => seats.get(one) === id)).toBe(true);
        }
      }
    }),
  );
});
