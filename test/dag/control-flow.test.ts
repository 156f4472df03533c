// Control flow within control flow: loops, groups and expansions in each other, what waits for what, who is skipped for whom.

import { describe, expect, test } from "vitest";
import {
  branch, chain, ctx, dag, type DagRun, DagRunFailedError, group, loop, type Node, noop, pool, setup, shortCircuit, task,
  teardown,
} from "../../dag/index.ts";

/** After everything that can happen now. */
const soon = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 20); });

const same = task("same", (x: unknown) => x);
const inc = task("inc", (x: number) => x + 1);
const boom = task("boom", (): number => { throw new RangeError("bang"); });
const skipped = task("skipped", () => ctx().skip("not now"));
const lateBoom = task("lateBoom", async () => {
  await soon();
  throw new Error("late");
});

async function statesOf(run: DagRun): Promise<Record<string, string>> {
  return Object.fromEntries((await run.tasks()).map(({ id, state }) => [id, state]));
}

let made = 0;
async function resultOf(body: () => unknown): Promise<unknown> {
  const run = await dag(`flow${(made += 1)}`, body).test();
  return run.result();
}
async function endOf(body: () => unknown): Promise<[state: string, tasks: Record<string, string>]> {
  const run = await dag(`flow${(made += 1)}`, body).test();
  return [run.state, await statesOf(run)];
}

describe("loops", () => {
  const twice = (previous: Node<number>): Node<number> => (
    loop<number>((inner) => inc(inner), { max: 2, initial: previous })
  );

  test("in a mapped group give a list", async () => {
    const each = group("each", (x: Node<number>) => twice(x));
    expect(await resultOf(() => each.expand({ x: [10, 20] }))).toEqual([12, 22]);
    expect(await resultOf(() => same(each.expand({ x: [10, 20] })))).toEqual([12, 22]);
  });

  test("give the value of a loop, also in mapped groups in loops", async () => {
    expect(await resultOf(() => loop<number>((p) => twice(p), { max: 3, initial: 0 }))).toBe(6);
    const sum = task("sum", (xs: number[]) => xs[0] + xs[1]);
    const pair = task("pair", (x: number) => [x, x]);
    const each = group("each", (x: Node<number>) => loop<number>((p) => twice(p), { max: 2, initial: x }));
    expect(await resultOf(() => loop<number>((p) => sum(each.expand({ x: pair(p) })), { max: 2, initial: 0 }))).toBe(24);
  });

  test("go round over expanded tasks and groups; one failure of them fails the loop, whichever ends last", async () => {
    const each = group("each", (x: Node<number>) => inc(x));
    expect(await resultOf(() => loop<number[]>((p) => inc.expand({ x: p }), { max: 3, initial: [1, 2] }))).toEqual([4, 5]);
    expect(await resultOf(() => loop<number[]>((p) => each.expand({ x: p }), { max: 3, initial: [1, 2] }))).toEqual([4, 5]);
    const first = task("first", async (x: number) => {
      if (x === 1) throw new Error("no");
      await soon();
      return x;
    });
    const [state, tasks] = await endOf(() => loop<number[]>((p) => first.expand({ x: p }), { max: 3, initial: [1, 2] }));
    expect([state, tasks]).toEqual(["failed", { "first[0,0]": "failed", "first[0,1]": "success" }]);
  });
});

describe("expansion", () => {
  test("over nothing in some places lets nothing outside begin before the others have ended", async () => {
    const slow = task("slow", async (x: number) => {
      await soon();
      return x + 1;
    });
    const inner = group("inner", (y: Node<number>) => slow(y));
    const outer = group("outer", (xs: Node<number[]>) => inner.expand({ y: xs }));
    const all = same.with({ triggerRule: "allDone" });
    expect(await resultOf(() => all(outer.expand({ xs: [[], [], [1], [2, 3]] })))).toEqual([[], [], [2], [3, 4]]);
  });

  test("over sets: other arguments fill the names that a set has not, in order; unknown names fail", async () => {
    const all = task("all", (a: number, b: number, c: number) => [a, b, c]);
    const sets = task("sets", (): object[] => [{ a: 1, c: 2 }, { b: 3 }]);
    expect(await resultOf(() => all.expandAll(sets(), 8, 9))).toEqual([[1, 8, 2], [8, 3, 9]]);
    expect(await resultOf(() => all.expandAll([{ a: 1, c: inc(1) }, { b: 3 }], inc(7), 9))).toEqual([[1, 8, 2], [8, 3, 9]]);
    const wrong = task("wrong", () => [{ a: 1 }, { z: 2 }]);
    const run = await dag("wrong", () => all.expandAll(wrong())).test();
    expect((await run.tasks()).map(({ id, state, reason }) => [id, state, reason])).toEqual([
      ["wrong", "success", undefined], ["all[0]", "success", undefined],
      ["all[1]", "failed", "task all has no parameter z; it has a, b, c"],
    ]);
  });

  test(".map leaves out what it skips; of what is expanded it skips the instance", async () => {
    const odd = (x: number): number => (x % 2 === 0 ? ctx().skip("even") : x);
    const list = task("list", () => [1, 2, 3]);
    expect(await resultOf(() => same(list().map(odd)))).toEqual([1, 3]);
    const [, tasks] = await endOf(() => inc.expand({ x: list().map(odd) }));
    expect(tasks).toEqual({ list: "success", "inc[0]": "success", "inc[1]": "skipped", "inc[2]": "success" });
  });
});

test("of what is ready at once the most important is first, also where lists are expanded one after the other", async () => {
  const order: string[] = [];
  const note = task("note", (n: number, name: string) => order.push(`${name}${n}`), { pool: pool("one-at-a-time", 1) });
  const graph = dag("important", () => [1, 5, 3].map((priority) => (
    note.with({ id: `of${priority}`, priority }).expand({ n: [0, 1] }, String(priority))
  )));
  await (await graph.test()).done();
  expect(order).toEqual(["50", "51", "30", "31", "10", "11"]);
});

describe("who waits for whom", () => {
  test("a skip is no end yet where a failure may come: upstreamFailed wins, whichever is first", async () => {
    expect(await endOf(() => { noop("next").after(skipped(), lateBoom()); })).toEqual([
      "failed", { skipped: "skipped", lateBoom: "failed", next: "upstreamFailed" },
    ]);
  });

  test("a short circuit skips what comes after it whatever its rule, but no teardown of a setup that succeeded", async () => {
    const closed = (): Node<boolean> => shortCircuit(async function closed() {
      await soon();
      return false;
    });
    expect(await endOf(() => {
      const gate = closed();
      same.with({ id: "always", triggerRule: "always" })(1).after(gate);
      same.with({ id: "one", triggerRule: "oneSuccess" })(1).after(noop("first"), gate);
    })).toEqual(["success", { closed: "success", always: "skipped", one: "skipped", first: "success" }]);
    expect(await endOf(() => {
      const open = setup(noop("open"));
      chain(open, closed(), noop("work"), teardown(noop("close"), { setups: open }));
    })).toEqual(["success", { open: "success", closed: "success", work: "skipped", close: "success" }]);
  });

  test("a way of a branch waits for the branch, also when its rule is always", async () => {
    const [, tasks] = await endOf(() => {
      const a = same.with({ id: "a", triggerRule: "always" })(1);
      branch(async function pick() {
        await soon();
        return "b";
      }).to({ a, b: noop("b") });
    });
    expect(tasks).toEqual({ a: "skipped", pick: "success", b: "success" });
  });

  test("between a setup and its teardown nothing runs without the setup, whatever its rule", async () => {
    const graph = (begin: () => Node<unknown>, work: () => Node<unknown>) => (): void => {
      const open = setup(begin());
      const close = teardown(noop("close"), { setups: open });
      chain(open, work(), same.with({ id: "tolerant", triggerRule: "allDone" })(1), close);
      chain(open, same.with({ id: "eager", triggerRule: "always" })(1), close);
    };
    const none = "upstreamFailed";
    expect(await endOf(graph(() => boom(), () => noop("work")))).toEqual([
      "failed", { boom: "failed", work: none, tolerant: none, eager: none, close: none },
    ]);
    expect((await endOf(graph(() => noop("open"), () => boom())))[1]).toEqual({
      open: "success", boom: "failed", tolerant: "success", eager: "success", close: "success",
    });
  });
});

test("a run that its time has ended says so", async () => {
  const run = await dag("late", { timeoutMs: 1000 }, () => task("wait", () => {
    ctx().sleepUntil(new Date(ctx().now().getTime() + 60_000));
  })()).test();
  const error: unknown = await run.result().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(DagRunFailedError);
  expect((error as Error).message).toMatch(/ended as failed: the run took longer than 1000 ms/);
});

test("a parameter that is undefined is not given", async () => {
  const graph = dag("given", { params: { k: "default" } }, ({ k }) => same(k));
  expect(await (await graph.test({ k: undefined })).result()).toBe("default");
  expect(await resultOf(() => graph({ k: undefined }))).toBe("default");
});
