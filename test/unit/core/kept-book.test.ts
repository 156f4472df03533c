// What is kept for lifetimes, against a model: an object is there while one of its lifetimes is, and nothing that ended comes
// back.

import fc from "fast-check";
import { expect, test } from "vitest";
import { KeptBook, type Lifetime, type ObjectEnd } from "../../../runtime/core/index.ts";

const OBJECTS = ["a", "b", "c", "d"];
const SCOPES = ["s", "t"];
const END: ObjectEnd = { by: "free", scope: "" };

function lifetime(id: string, endsAt?: number): Lifetime {
  return { id, name: id, isScope: SCOPES.includes(id), endsAt };
}

test("an object with two lifetimes goes with the second, and can't be kept again", () => {
  const book = new KeptBook<string>();
  expect(book.keep("a", "value", lifetime("s"))).toBe("new");
  expect(book.keep("a", "other", lifetime("a"))).toBe("known");
  expect(book.lifetimesOf("a").map(({ id }) => id)).toEqual(["s", "a"]);
  expect(book.endLifetime("s", END)).toEqual([]);
  expect(book.find("a")).toBe("value");
  expect(book.endLifetime("a", END)).toEqual(["value"]);
  expect(book.find("a")).toBeUndefined();
  expect(book.keep("a", "value", lifetime("t"))).toBe("over");
  expect(book.keep("b", "late", lifetime("s"))).toBe("over");
  expect(book.knows("t")).toBe(false);
});

test("who ends an object ends what was kept for its sake, but for what lives for something else", () => {
  const book = new KeptBook<string>();
  for (const inside of ["a", "b", "c"]) book.keep(inside, inside, lifetime("a"));
  book.keep("c", "c", lifetime("s"));
  expect(book.end("a", END).sort()).toEqual(["a", "b"]);
  expect(book.end("a", END)).toEqual([]);
  expect(book.values()).toEqual(["c"]);
  expect(book.scopes()).toEqual(["s"]);
  expect(book.end("c", END)).toEqual(["c"]);
  expect(book.scopes()).toEqual([]);
});

test("a lifetime is due at its end, which a repeat may move", () => {
  const book = new KeptBook<string>();
  book.keep("a", "a", lifetime("a", 100));
  book.keep("b", "b", lifetime("b"));
  expect(book.due(99)).toEqual([]);
  expect(book.due(100)).toEqual(["a"]);
  book.keep("a", "a", lifetime("a", 200));
  expect(book.due(100)).toEqual([]);
  book.keep("a", "a", lifetime("a"));
  expect(book.due(Infinity)).toEqual([]);
});

type Step =
  | { readonly do: "keep"; readonly object: string; readonly lifetime: string }
  | { readonly do: "end" | "endLifetime"; readonly id: string };

const anyId = fc.constantFrom(...SCOPES, ...OBJECTS);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("keep" as const), object: fc.constantFrom(...OBJECTS), lifetime: anyId }),
  fc.record({ do: fc.constantFrom("end" as const, "endLifetime" as const), id: anyId }),
);

test("in any history what is kept is what the model keeps, and each is given up exactly once", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const book = new KeptBook<string>();
    const model = new Map<string, Set<string>>();
    const ended = new Set<string>();
    const given: string[] = [];
    const leave = (lifetime: string) => {
      ended.add(lifetime);
      for (const [object, lifetimes] of [...model]) {
        if (!lifetimes.delete(lifetime) || lifetimes.size > 0) continue;
        model.delete(object);
        ended.add(object);
      }
    };
    for (const one of steps) {
      if (one.do === "keep") {
        const isOver = ended.has(one.object) || ended.has(one.lifetime);
        const known = model.get(one.object);
        expect(book.keep(one.object, one.object, lifetime(one.lifetime))).toBe(isOver ? "over" : known ? "known" : "new");
        if (!isOver) model.set(one.object, (known ?? new Set()).add(one.lifetime));
      } else {
        given.push(...(one.do === "end" ? book.end(one.id, END) : book.endLifetime(one.id, END)));
        if (one.do === "end") model.delete(one.id);
        leave(one.id);
      }
      expect(book.values().sort()).toEqual([...model.keys()].sort());
      const lifetimes = [...model.values()].flatMap((all) => [...all]);
      expect(new Set(book.scopes())).toEqual(new Set(lifetimes.filter((id) => SCOPES.includes(id))));
    }
    expect(new Set(given).size).toBe(given.length);
  }));
});
