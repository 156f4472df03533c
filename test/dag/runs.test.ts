// Graphs as users write them, run in this process under a clock that jumps.

import { describe, expect, test } from "vitest";
import {
  branch,
  chain,
  cross,
  ctx,
  dag,
  type DagRun,
  DagRunFailedError,
  GraphError,
  group,
  latestOnly,
  loop,
  type Node,
  noop,
  pool,
  setup,
  shortCircuit,
  task,
  teardown,
  zip,
} from "../../dag/index.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";

const add = task("add", (v: number, by = 1) => v + by);
const square = task("square", (x: number, k: number) => x * x * k);
const sum = task("sum", (xs: readonly number[]) => xs.reduce((a, b) => a + (b ?? 0), 0));
const list = task("list", (n: number) => Array.from({ length: n }, (_, i) => i + 1));
const boom = task("boom", (): number => { throw new RangeError("boom"); });

async function statesOf(run: DagRun<unknown>): Promise<Record<string, string>> {
  const rows = await run.tasks();
  return Object.fromEntries(rows.map(({ id, state }) => [id, state]));
}

describe("edges and values", () => {
  test("a call draws a node; repeated calls have ids of their own", async () => {
    const run = await dag("five", () => {
      let node = add(1);
      for (let i = 0; i < 4; i += 1) node = add(node);
      return node;
    }).test();
    expect([run.state, await run.result()]).toEqual(["success", 6]);
    expect(Object.keys(await statesOf(run))).toEqual(["add", "add__1", "add__2", "add__3", "add__4"]);
  });

  test("nodes and literals mix at any depth, parameters are nodes", async () => {
    const merge = task("merge", (a: { x: number; deep: { list: number[] } }, name: string) => [name, a.x, ...a.deep.list]);
    const graph = dag("mixed", { params: { name: "n", by: 10 } }, (params) => (
      { merged: merge({ x: add(1, params.by), deep: { list: [1, add(2)] } }, params.name), plain: 7 }
    ));
    const run = await graph.test({ name: "m" });
    expect(await run.result()).toEqual({ merged: ["m", 11, 1, 3], plain: 7 });
    await expect(graph.test({ wrong: 1 } as never)).rejects.toThrow(/has no parameter wrong; it has name, by/);
  });

  test("order-only edges: before, after, chain, cross; a cycle is named", async () => {
    const order: string[] = [];
    const note = (id: string): Node<undefined> => task(id, () => void order.push(id))();
    await dag("ordered", () => {
      const [a, b, c, d] = ["a", "b", "c", "d"].map(note);
      d.before(c);
      chain(c, b, a);
    }).test();
    expect(order).toEqual(["d", "c", "b", "a"]);
    await dag("crossed", () => cross([note("e"), note("f")], [note("g"), note("h")])).test();
    expect(order.slice(4, 6).sort()).toEqual(["e", "f"]);
    expect(() => dag("cycle", () => {
      const [a, b, c] = [noop("a"), noop("b"), noop("c")];
      chain(a, b, c, a);
    })).toThrow(/cycle: a -> b -> c -> a/);
  });

  test("what is used before it is there says so", () => {
    const params = { list: [1] };
    expect(() => dag("walk", { params }, (p) => { for (const _ of p.list as never) add(1); })).toThrow(GraphError);
    expect(() => dag("value", { params: { n: 1 } }, (p) => add((p.n as never as number) * 2))).toThrow(/give it to a task/);
    expect(() => dag("unknown", { params }, (p) => add((p as never as { m: number }).m))).toThrow(/no parameter m; it has list/);
    expect(() => add(1)).toThrow(/outside of the body of a dag/);
    expect(() => task("t", () => 1, { retrys: 1 } as never)).toThrow(InvalidArgumentError);
    expect(() => task("t", () => 1, { triggerRule: "some" as never }))
      .toThrow(/task t option triggerRule must be one of 'allSuccess'/);
  });
});

describe("failures", () => {
  test("a failed task fails what comes after it, and the run says which", async () => {
    const run = await dag("fails", () => add(boom())).test();
    expect(await statesOf(run)).toEqual({ boom: "failed", add: "upstreamFailed" });
    const error: unknown = await run.result().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DagRunFailedError);
    expect(error).toMatchObject({ runId: run.id, failures: [{ taskId: "boom", error: { message: "boom" } }] });
    expect((error as Error).cause).toBeInstanceOf(RangeError);
    expect(run.why("add").reasons).toContainEqual(expect.objectContaining({ kind: "upstream", taskId: "boom", state: "failed" }));
  });

  test("retries wait on the clock of the run, callbacks hear of it, skip and fail end at once", async () => {
    const told: string[] = [];
    const tell = (what: string) => (): void => void told.push(what);
    const flaky = task("flaky", () => {
      if (ctx().attempt < 2) throw new Error("not yet");
      return ctx().attempt;
    }, { retries: 2, retryDelayMs: 3_600_000, onRetry: [tell("retry"), tell("retry too")], onSuccess: tell("success") });
    const never = task("never", () => ctx().fail("for good"), { retries: 5, onFailure: tell("failure") });
    const skips = task("skips", () => ctx().skip("not today"), { onSkip: tell("skip") });
    const run = await dag("flaky", { defaultTask: { onSuccess: tell("default") } }, () => [flaky(), never(), skips()])
      .test({}, { now: "2026-01-01T00:00:00Z" });
    const rows = await run.tasks();
    expect(rows.map(({ id, state, attempt }) => [id, state, attempt]))
      .toEqual([["flaky", "success", 2], ["never", "failed", 0], ["skips", "skipped", 0]]);
    expect(rows[0].endedAt?.toISOString()).toBe("2026-01-01T02:00:00.000Z");
    expect(told.sort()).toEqual(["default", "failure", "retry", "retry", "retry too", "retry too", "skip", "success"]);
    expect(rows[2].reason).toBe("not today");
  });

  test("only what retryOn names is retried", async () => {
    let calls = 0;
    const picky = task("picky", () => { calls += 1; throw calls === 1 ? new RangeError("again") : new TypeError("never"); }, {
      retries: 5, retryDelayMs: 1, retryOn: [RangeError],
    });
    const run = await dag("picky", () => picky()).test();
    expect([run.state, calls]).toEqual(["failed", 2]);
  });

  test("a cleared way around a failure: trigger rules, setup and teardown", async () => {
    const run = await dag("rollback", () => {
      const [made, work, down] = [setup(noop("made")), boom(), noop("down")];
      made.before(work);
      teardown(down, { setups: made }).after(work);
      task("onFailure", () => "rolled back", { triggerRule: "oneFailed" })().after(work);
    }).test();
    expect(await statesOf(run)).toEqual({ made: "success", boom: "failed", down: "success", onFailure: "success" });
    // A teardown does not decide: what is right before it is a leaf. Here a leaf that handled it comes after the failure.
    expect(run.state).toBe("success");
  });
});

describe("instances", () => {
  test("cross products by name, lists of the run, results in order, states", async () => {
    const run = await dag("expanded", { params: { k: 2 } }, ({ k }) => {
      const made = square.expand({ x: list(3) }, k);
      const odd = task("odd", (n: number) => (n % 2 === 0 ? ctx().skip("even") : n)).expand({ n: list(4) });
      return {
        total: sum(made),
        both: square.expand({ x: [1, 2], k: [10, 20] }),
        sets: square.expandAll([
          { x: 2, k: 1 },
          { x: 3, k: 1 },
        ]),
        later: made.map((x) => x + 1),
        pairs: zip(list(2), ["a", "b", "c"]),
        odd,
        states: odd.withStates(),
        none: add.expand({ v: [] }),
      };
    }).test({ k: 3 });
    expect(await run.result()).toEqual({
      total: 42,
      both: [10, 20, 40, 80],
      sets: [4, 9],
      later: [4, 13, 28],
      pairs: [
        [1, "a"],
        [2, "b"],
      ],
      odd: [1, 3],
      states: [1, undefined, 3, undefined].map((value) => ({ state: value === undefined ? "skipped" : "success", value })),
      none: [],
    });
    expect(await statesOf(run)).toMatchObject({ "square[2]": "success", add: "skipped" });
  });

  test("instances of a task share the list they are expanded over: a large one is walked once", async () => {
    let walked = 0;
    const counted = Array.from({ length: 3000 }, (_, i) => ({ get n() { walked += 1; return i; } }));
    const run = await dag("shared", () => sum(task("n", (x: { n: number }) => x.n).expand({ x: counted }))).test();
    expect(await run.result()).toBe((2999 * 3000) / 2);
    // While it is built, measured, read by all, and by each where it runs.
    expect(walked).toBeLessThan(20 * counted.length);
  });

  test("a mapped group goes depth first, and nests", async () => {
    const run = await dag("groups", () => {
      const each = group("each", (x: number) => {
        const y = add(x);
        return { y, products: square.expand({ x: [1, 2] }, y) };
      }).expand({ x: list(2) });
      return { ys: each.y, products: each.products, total: sum(each.y) };
    }).test();
    expect(await run.result()).toEqual({ ys: [2, 3], products: [[2, 8], [3, 12]], total: 5 });
    expect(Object.keys(await statesOf(run))).toEqual([
      "list", "each.add[0]", "each.add[1]", "each.square[0,0]", "each.square[0,1]", "each.square[1,0]", "each.square[1,1]", "sum",
    ]);
  });

  test("a failed instance fails the list, not its neighbours", async () => {
    const run = await dag("partly", () => sum(task("half", (n: number) => {
      if (n === 2) throw new Error("two");
      return n;
    }).expand({ n: [1, 2, 3] }))).test();
    expect(await statesOf(run)).toEqual({
      "half[0]": "success",
      "half[1]": "failed",
      "half[2]": "success",
      sum: "upstreamFailed",
    });
  });

  test("names that can't be told, or are not there, are errors of the build", () => {
    const spread = task("spread", (...all: number[]) => all.length);
    expect(() => dag("names", () => spread.expand({ a: [1] }))).toThrow(/args: \["x", "y"\]/);
    expect(() => dag("wrong", () => add.expand({ w: [1] }))).toThrow(/no parameter w; it has v, by/);
    expect(() => dag("over", () => add.expand({ v: 5 as never }))).toThrow(/over a list/);
  });

  test("a list that is none fails what is expanded over it", async () => {
    const run = await dag("nolist", () => add.expand({ v: add(1) as never })).test();
    expect([run.state, (await run.tasks())[1].reason]).toEqual(["failed", "a task can be expanded over a list, not over number"]);
  });
});

describe("ways", () => {
  test("a branch skips what it does not choose; a join wants its rule", async () => {
    const graph = (key: string | string[] | undefined) => dag("ways", () => {
      const ways = { a: noop("a"), b: noop("b") };
      branch(function pick() { return key; }).to(ways);
      task("join", () => "joined", { triggerRule: "noneFailedMinOneSuccess" })().after(ways.a, ways.b);
    });
    expect(await statesOf(await graph("b").test())).toEqual({ a: "skipped", b: "success", pick: "success", join: "success" });
    expect(await statesOf(await graph(["a", "b"]).test())).toMatchObject({ a: "success", b: "success" });
    expect(await statesOf(await graph(undefined).test())).toMatchObject({ a: "skipped", b: "skipped", join: "skipped" });
    const wrong = await graph("c").test();
    expect([wrong.state, (await statesOf(wrong)).pick]).toEqual(["failed", "failed"]);
    const [warning] = dag("bad-join", () => {
      const ways = { a: noop("a"), b: noop("b") };
      branch(() => "a").to(ways);
      noop("join").after(ways.a, ways.b);
    }).warnings;
    expect(warning).toMatch(/join joins ways of branch/);
  });

  test("a group as a way is skipped as a whole", async () => {
    const run = await dag("group-way", () => {
      const [left, right] = [group("left", () => add(add(1))), group("right", () => noop("one"))];
      branch(() => "right").to({ left, right });
    }).test();
    expect(await statesOf(run)).toMatchObject({ "left.add": "skipped", "left.add__1": "skipped", "right.one": "success" });
  });

  test("a short circuit skips everything after it, whatever the rules", async () => {
    const graph = (ok: boolean) => dag("short", () => {
      const [open, after] = [shortCircuit(() => ok), noop("after")];
      open.before(after);
      task("always", () => 1, { triggerRule: "allDone" })().after(after);
    });
    expect(await statesOf(await graph(false).test())).toEqual({ shortCircuit: "success", after: "skipped", always: "skipped" });
    expect((await statesOf(await graph(true).test())).always).toBe("success");
    expect((await dag("latest", () => noop("n").after(latestOnly())).test()).state).toBe("success");
  });

  test("loops: rounds, convergence, a bound", async () => {
    const step = task("step", (previous: number, index: number) => previous * 2 + index);
    const looped = await dag("loop", () =>
      add(loop<number>((p, i) => step(p, i), { until: (v) => v > 20, max: 10, initial: 1 })),
    ).test();
    expect(await looped.result()).toBe(28);
    expect(Object.keys(await statesOf(looped))).toEqual(["step[0]", "step[1]", "step[2]", "step[3]", "add"]);
    const counted = await dag("counted", () => loop<number>((p, i) => step(p, i), { max: 3, initial: 1 })).test();
    expect(await counted.result()).toBe(12);
    const stuck = await dag("stuck", () => loop<number>((p, i) => step(p, i), { until: () => false, max: 2, initial: 1 })).test();
    await expect(stuck.result()).rejects.toThrow(/did not converge within 2 rounds/);
    const broken = await dag("broken", () => add(loop<number>(() => boom(), { max: 2, initial: 1 }))).test();
    expect(await statesOf(broken)).toEqual({ "boom[0]": "failed", add: "upstreamFailed" });
  });

  test("a dag in a dag is a part of the same run", async () => {
    const inner = dag("inner", { params: { n: 1 } }, ({ n }) => add(n));
    const run = await dag("outer", () => add(inner({ n: add(5) }))).test();
    expect([await run.result(), Object.keys(await statesOf(run))]).toEqual([8, ["add", "inner.add", "add__1"]]);
  });
});

describe("limits and ends", () => {
  test("pools and caps hold, and why() names the one in the way", async () => {
    let [now, most] = [0, 0];
    const slots = pool("two", 2);
    const busy = task("busy", async (_: number) => {
      most = Math.max(most, now += 1);
      await new Promise((resolve) => setTimeout(resolve, 2));
      now -= 1;
    }, { pool: slots });
    expect((await dag("pooled", () => busy.expand({ _: list(6) })).test()).state).toBe("success");
    expect(most).toBe(2);
    most = 0;
    await dag("capped", { maxActiveTasks: 1 }, () => busy.expand({ _: [1, 2, 3] })).test();
    expect(most).toBe(1);
    most = 0;
    await dag("each-run", () => busy.with({ maxActivePerRun: 1 }).expand({ _: [1, 2, 3] })).test();
    expect(most).toBe(1);
  });

  test("higher weights first; a deferred task goes on later and holds nothing", async () => {
    const order: string[] = [];
    const note = (id: string, priority: number): Node<unknown> =>
      task(id, () => order.push(id), { priority, weightRule: "absolute" })();
    await dag("weights", { maxActiveTasks: 1 }, () => { note("low", 1); note("high", 9); note("middle", 5); }).test();
    expect(order).toEqual(["high", "middle", "low"]);
    const sleepy = task("sleepy", () => { ctx().sleepUntil(new Date("2026-01-02T00:00:00Z")); return "awake"; });
    const run = await dag("sleep", () => sleepy()).test({}, { now: "2026-01-01T00:00:00Z" });
    expect([await run.result(), (await run.tasks())[0].endedAt?.toISOString()]).toEqual(["awake", "2026-01-02T00:00:00.000Z"]);
  });

  test("a run that takes too long fails, teardowns run", async () => {
    const waits = task("waits", () => ctx().sleepUntil(new Date("2030-01-01T00:00:00Z")));
    const run = await dag("late", { timeoutMs: 1000 }, () => {
      const made = setup(noop("made"));
      const work = waits().after(made);
      teardown(noop("down"), { setups: made }).after(work);
    }).test({}, { now: "2026-01-01T00:00:00Z" });
    expect([run.state, await statesOf(run)]).toEqual(["failed", { made: "success", waits: "skipped", down: "success" }]);
    await expect(run.result()).rejects.toThrow(DagRunFailedError);
  });

  test("events are told from the start, with metrics and states", async () => {
    const run = await dag("told", () => task("measured", () => { ctx().metric("loss", 0.5); ctx().progress(1, 2); })()).test();
    const events = [];
    for await (const event of run.events()) events.push(event);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
    expect(events.filter(({ type }) => type === "task").map(({ state }) => state)).toEqual([
      "scheduled",
      "queued",
      "running",
      "success",
    ]);
    expect(events).toContainEqual(expect.objectContaining({ type: "metric", taskId: "measured", name: "loss", value: 0.5 }));
    expect(events.at(-1)).toMatchObject({ type: "run", state: "success" });
  });
});

test("what instances print at the same time in one process is told of each by itself", async () => {
  const prints = task("prints", async (n: number) => {
    process.stdout.write(`${n}: one, `);
    await new Promise((resolve) => setTimeout(resolve, 1));
    process.stdout.write(`two\n${n}: three`);
  });
  const run = await dag("prints", () => prints.expand({ n: [0, 1] })).test();
  const told: unknown[] = [];
  for await (const { type, mapIndex, name, value } of run.events()) if (type === "log") told.push([mapIndex, name, value]);
  expect(told.sort()).toEqual([0, 1].flatMap((n) => [[n, "stdout", `${n}: one, two`], [n, "stdout", `${n}: three`]]).sort());
});

describe("graphs as data", () => {
  test("a schema checks and completes parameters", async () => {
    const schema: StandardSchema<{ n: number }> = {
      "~standard": {
        version: 1, vendor: "test",
        validate: (value) => {
          const { n } = value as { n?: unknown };
          return typeof n === "string" ? { value: { n: Number(n) } } : { issues: [{ message: "must be a text", path: ["n"] }] };
        },
      },
    };
    const graph = dag("schema", { params: schema }, ({ n }) => add(n));
    expect(await (await graph.test({ n: "4" as never })).result()).toBe(5);
    await expect(graph.test({ n: 4 })).rejects.toThrow("dag schema: its parameters are refused: n: must be a text");
  });

  test("next times, and a flowchart", () => {
    const graph = dag("charted", { schedule: "0 2 * * *", startDate: "2026-01-01", endDate: "2026-01-02T12:00Z" }, () => {
      const ways = { a: noop("a"), b: group("g", () => add(add(1))) };
      branch(function pick() { return "a"; }).to(ways);
      sum(square.expand({ x: [1] }, ways.b as never));
    });
    expect(graph.next({ after: "2020-01-01", count: 5 }).map((at) => at.toISOString()))
      .toEqual(["2026-01-01T02:00:00.000Z", "2026-01-02T02:00:00.000Z"]);
    const chart = graph.mermaid();
    const lines = ["flowchart LR", '(["a"])', '{"pick"}', 'subgraph g["g"]', '["square []"]', "t3_pick --> t0_a"];
    for (const line of lines) expect(chart).toContain(line);
    expect(() => dag("bad", { schedule: "never" }, () => noop("n"))).toThrow(/no cron expression/);
    expect(() => dag("bad", { startDate: "soon" }, () => noop("n"))).toThrow(/startDate must be a Date or an ISO text, not soon/);
  });
});
