import { describe, expect, it } from "vitest";
import { KeepQuestions } from "../../../runtime/owner/objects/keep-questions.ts";
import type { KeptObject } from "../../../runtime/transport/index.ts";

/** Questions that were asked, each with the numbers of its objects, answered by hand. */
function desk() {
  const asked: { numbers: number[]; answer: () => void; refuse: (error: Error) => void }[] = [];
  const questions = new KeepQuestions((objects) => new Promise((resolve, reject) => {
    const numbers = objects.map(({ object }) => object?.object as number);
    asked.push({ numbers, answer: () => resolve(objects as KeptObject[]), refuse: reject });
  }));
  const keep = (scope: string, numbers: readonly number[], bytes = 0) => {
    const value = { value: new Uint8Array(bytes) };
    const kept = questions.keep(scope, numbers.map((object) => ({ object: { owner: "o", ownerNode: "n", object }, value })));
    return kept.then((objects) => objects.map(({ object }) => object?.object));
  };
  return { asked, keep };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("questions to keep objects", () => {
  it("has one open a scope: what comes meanwhile goes together, and each gets its own objects back", async () => {
    const { asked, keep } = desk();
    const kept = [keep("a", [1]), keep("a", [2, 3]), keep("a", []), keep("a", [4]), keep("b", [5])];
    expect(asked.map(({ numbers }) => numbers)).toEqual([[1], [5]]);
    for (const one of asked.slice()) one.answer();
    await settled();
    expect(asked.slice(2).map(({ numbers }) => numbers)).toEqual([[2, 3, 4]]);
    asked[2].answer();
    expect(await Promise.all(kept)).toEqual([[1], [2, 3], [], [4], [5]]);
    void keep("a", [6]);
    expect(asked[3].numbers).toEqual([6]);
  });

  it("asks for each by itself when a question for several is refused", async () => {
    const { asked, keep } = desk();
    const kept = Promise.allSettled([keep("a", [1]), keep("a", [2]), keep("a", [3])]);
    asked[0].answer();
    await settled();
    asked[1].refuse(new Error("2 was freed"));
    await settled();
    expect(asked.slice(2).map(({ numbers }) => numbers)).toEqual([[2], [3]]);
    asked[2].refuse(new Error("2 was freed"));
    asked[3].answer();
    const outcomes = await kept;
    await settled();
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    // It goes on.
    const next = keep("a", [4]);
    asked[4].answer();
    expect(await next).toEqual([4]);
  });

  it("bounds the objects, and the bytes, of one question", async () => {
    const { asked, keep } = desk();
    void keep("a", [0]);
    for (let number = 1; number <= 2500; number += 1) void keep("a", [number]);
    void keep("b", [0]);
    for (let number = 1; number <= 4; number += 1) void keep("b", [number], 3 * 1024 * 1024);
    void keep("b", [5], 30 * 1024 * 1024);
    for (let index = 0; index < asked.length; index += 1) {
      asked[index].answer();
      await settled();
    }
    const sizes = (count: number) => asked.filter(({ numbers }) => numbers.length === count).length;
    expect([sizes(1000), sizes(500)]).toEqual([2, 1]);
    const short = asked.map(({ numbers }) => numbers).filter(({ length }) => length < 500);
    expect(short).toEqual([[0], [0], [1, 2], [3, 4], [5]]);
  });
});
