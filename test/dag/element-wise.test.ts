// Expansions over expansions: inside of a group element by element, elsewhere after all of them. Compared with a small model.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { branch, ctx, dag, type DagRun, group, loop, type Node, noop, shortCircuit, task, zip } from "../../dag/index.ts";

const statesOf = async (run: DagRun): Promise<Record<string, string>> => (
  Object.fromEntries((await run.tasks()).map(({ id, state }) => [id, state]))
);
let made = 0;
const runOf = (body: () => unknown): Promise<DagRun> => dag(`wise${(made += 1)}`, body).test() as Promise<DagRun>;

const inc = task("inc", (x: number) => x + 1);
const keep = task("keep", (list: unknown) => list, { triggerRule: "allDone" });
/** 1 fails, 2 is skipped. */
const fussy = task("fussy", (x: number) => {
  if (x === 1) throw new Error("one");
  return x === 2 ? ctx().skip("two") : x;
});

describe("in a group", () => {
  /** The last element of the first waits for the first element of the second: who waits for all would wait for ever. */
  const crossing = () => {
    const log: string[] = [];
    let open: () => void;
    const opened = new Promise<void>((resolve) => { open = resolve; });
    const a = task("a", async (x: number) => {
      if (x === 2) await opened;
      log.push(`a${x}`);
      return x;
    });
    const b = task("b", (y: number) => {
      log.push(`b${y}`);
      open();
      return y;
    });
    return { log, a, b };
  };

  const kinds = ["plain", "nested", "called", "mapped", "sets", "map"];
  test.each(kinds)("an element goes on before the others have ended: %s", async (kind) => {
    const { a, b, log } = crossing();
    const body = (): unknown => {
      if (kind === "sets") return b.expandAll(a.expand({ x: [0, 1, 2] }).map((y) => ({ y })));
      if (kind === "map") return b.expand({ y: a.expand({ x: [0, 1, 2] }).map((y) => y) });
      if (kind === "nested") return b.expand({ y: group("h", () => a.expand({ x: [0, 1, 2] })) });
      if (kind === "mapped") return b.expand({ y: group("m", (x: Node<number>) => a(x)).expand({ x: [0, 1, 2] }) });
      return b.expand({ y: a.expand({ x: [0, 1, 2] }) });
    };
    const called = group("g", (_: unknown) => body());
    const run = await runOf(() => (kind === "called" ? called(1) : group("g", body)));
    expect([log.at(-2), log.at(-1), await run.result()]).toEqual(["a2", "b2", [0, 1, 2]]);
  });

  test("failures and skips stay with their elements, and what reads the list has those that succeeded", async () => {
    const run = await runOf(() => group("g", () => {
      const b = inc.expand({ x: fussy.expand({ x: [0, 1, 2, 3] }) });
      return { all: keep(b), states: keep(b.withStates()), again: keep(inc.expand({ x: b })) };
    }));
    expect(await statesOf(run)).toEqual({
      "g.fussy[0]": "success", "g.fussy[1]": "failed", "g.fussy[2]": "skipped", "g.fussy[3]": "success",
      "g.inc[0]": "success", "g.inc[1]": "upstreamFailed", "g.inc[2]": "skipped", "g.inc[3]": "success",
      "g.inc__1[0]": "success", "g.inc__1[1]": "upstreamFailed", "g.inc__1[2]": "skipped", "g.inc__1[3]": "success",
      "g.keep": "success", "g.keep__1": "success", "g.keep__2": "success",
    });
    expect(await run.result()).toEqual({
      all: [1, 4], again: [2, 5],
      states: ["success", "upstreamFailed", "skipped", "success"].map((state, i) => (
        { state, value: state === "success" ? i + 1 : undefined }
      )),
    });
  });

  test("rules hold element by element; an input that is not there is undefined", async () => {
    const told = task("told", (x: number | undefined) => `${x}`, { triggerRule: "allDone" });
    const helps = task("helps", (_x: unknown) => "help", { triggerRule: "oneFailed" });
    const run = await runOf(() => group("g", () => {
      const a = fussy.expand({ x: [0, 1, 2] });
      return [told.expand({ x: a }), helps.expand({ _x: a })];
    }));
    expect(await run.result()).toEqual([["0", "undefined", "undefined"], ["help"]]);
    expect((await statesOf(run))["g.helps[2]"]).toBe("skipped");
  });

  test("in a mapped group instances have a number of the group and one of their own", async () => {
    const fit = task("fit", (k: number, x: number) => 10 * x + k);
    const each = group("each", (x: Node<number>) => inc.expand({ x: fit.expand({ k: [0, 1] }, x) }));
    const run = await runOf(() => each.expand({ x: [1, 2] }));
    expect(Object.keys(await statesOf(run))).toEqual(
      ["fit[0,0]", "fit[0,1]", "fit[1,0]", "fit[1,1]", "inc[0,0]", "inc[0,1]", "inc[1,0]", "inc[1,1]"].map((id) => `each.${id}`),
    );
    expect((await run.tasks()).find(({ id }) => id === "each.fit[1,0]")).toMatchObject({ mapIndex: [1, 0] });
    expect(await run.result()).toEqual([[11, 12], [21, 22]]);
  });

  test("arguments beside the element are what they are elsewhere", async () => {
    const add = task("add", (x: number, y: number, z = 100) => x + y + z);
    const run = await runOf(() => group("g", () => {
      const a = inc.expand({ x: [0, 1] });
      const other = inc(9);
      return [add.expand({ x: a }, other), add.expandAll(a.map((x) => ({ x, z: 0 })), other), add.expand({ y: a }, 5, 1)];
    }));
    expect(await run.result()).toEqual([[111, 112], [11, 12], [7, 8]]);
  });

  test("over nothing, over no list, and after a failure there is one row each", async () => {
    const list = task("list", (xs: unknown) => xs as number[]);
    const ends = (xs: unknown): Promise<DagRun> => runOf(() => group("g", () => inc.expand({ x: inc.expand({ x: list(xs) }) })));
    const [none, wrong] = [await ends([]), await ends(5)];
    expect(await statesOf(none)).toEqual({ "g.list": "success", "g.inc": "skipped", "g.inc__1": "skipped" });
    expect(await none.result()).toEqual([]);
    expect(await statesOf(wrong)).toEqual({ "g.list": "success", "g.inc": "failed", "g.inc__1": "upstreamFailed" });
    await expect(wrong.result()).rejects.toMatchObject({ failures: [{ taskId: "g.inc", error: { message: /list/ } }] });
    const broken = (): Node<number[]> => fussy(1) as unknown as Node<number[]>;
    const failed = await runOf(() => group("g", () => inc.expand({ x: inc.expand({ x: broken() }) })));
    expect(await statesOf(failed)).toEqual({ "g.fussy": "failed", "g.inc": "upstreamFailed", "g.inc__1": "upstreamFailed" });
    expect(failed.why("g.inc").text).toMatch(/g\.fussy is failed/);
  });

  test("branches and short circuits before them count for all of them", async () => {
    const run = await runOf(() => {
      const ways = (id: string): Node<number[]> => group(id, () => inc.expand({ x: inc.expand({ x: [1, 2] }) }));
      const [a, b, c] = [ways("a"), ways("b"), ways("c")];
      branch(() => "a").to({ a, b });
      shortCircuit(() => false).before(c);
      return [a, noop("end").after(c)];
    });
    const states = await statesOf(run);
    expect(states).toMatchObject({ "a.inc__1[1]": "success", "b.inc": "skipped", "b.inc__1": "skipped", "c.inc": "skipped" });
    expect(states.end).toBe("skipped");
  });

  test("rounds of a loop go element by element too", async () => {
    const run = await runOf(() => group("g", () => (
      loop<number[]>((xs) => inc.expand({ x: inc.expand({ x: xs }) }), { max: 2, initial: [0, 10] })
    )));
    expect(await run.result()).toEqual([4, 14]);
    expect(Object.keys(await statesOf(run))).toContain("g.inc__1[1,1]");
  });

  test("they are cleared, marked and resumed by their names", async () => {
    let isBroken = true;
    const flaky = task("flaky", (x: number) => {
      if (x === 1 && isBroken) throw new Error("broken");
      return x;
    });
    const graph = dag("again", () => group("g", () => inc.expand({ x: flaky.expand({ x: [0, 1] }) })));
    const run = await graph.test();
    expect(await statesOf(run)).toMatchObject({ "g.inc[0]": "success", "g.inc[1]": "upstreamFailed" });
    await run.mark("g.inc[1]", "success");
    expect(await statesOf(run)).toMatchObject({ "g.flaky[1]": "failed", "g.inc[1]": "success" });
    isBroken = false;
    await run.resume();
    await run.done();
    const attempts = async (): Promise<number[]> => (await run.tasks()).map(({ attempt }) => attempt);
    expect([await attempts(), run.state]).toEqual([[0, 1, 0, 0], "success"]);
    await run.clear("g.flaky");
    await run.done();
    expect([await attempts(), await run.result()]).toEqual([[1, 2, 1, 1], [1, 2]]);
  });
});

describe("what lies behind a gate", () => {
  const list = task("list", (n: number) => Array.from({ length: n }, (_, i) => i));
  const each = group("each", (x: Node<number>) => inc(x));

  test("comes after what is before the gate: a short circuit there skips what follows, whatever its rule", async () => {
    const run = await runOf(() => {
      const all = list(2);
      shortCircuit(() => false).before(all);
      const last = noop("last").after(each.expand({ x: all }));
      return [keep(last), keep.with({ id: "early", triggerRule: "always" })(last)];
    });
    expect(new Set(Object.entries(await statesOf(run)).flatMap(([id, state]) => (id === "shortCircuit" ? [] : [state]))))
      .toEqual(new Set(["skipped"]));
  });

  test("runs again when what it is expanded over does", async () => {
    let n = 1;
    const grows = task("grows", () => [(n += 1)]);
    const run = await runOf(() => each.expand({ x: grows() }));
    expect(await run.result()).toEqual([3]);
    await run.clear("grows");
    expect([await run.result(), (await run.tasks())[1]]).toMatchObject([[4], { id: "each.inc[0]", attempt: 1 }]);
  });
});

test("what ended for what was before it is given another end by hand", async () => {
  const run = await runOf(() => inc(fussy(1)));
  await run.mark("inc", "success");
  expect(await statesOf(run)).toEqual({ fussy: "failed", inc: "success" });
});

describe("all are waited for", () => {
  const first = task("first", (x: number) => {
    if (x === 1) throw new Error("one");
    return x;
  });
  const isWhole = async (body: (a: Node<number[]>) => unknown): Promise<void> => {
    const run = await runOf(() => body(first.expand({ x: [0, 1] })));
    const [last] = (await run.tasks()).slice(-1);
    expect(last).toMatchObject({ id: expect.not.stringContaining("["), state: "upstreamFailed" });
  };
  const two = task("two", (x: number, y: unknown) => [x, y]);

  test.each<[string, (a: Node<number[]>) => unknown]>([
    ["without a group", (a) => inc.expand({ x: a })],
    ["by who is in no group with it", (a) => group("g", () => inc.expand({ x: a }))],
  ])("%s", (_, body) => isWhole(body));

  test.each<[string, (a: Node<number[]>) => unknown]>([
    ["by a cross product", (a) => two.expand({ x: a, y: [1, 2] })],
    ["by lists side by side", (a) => task("pairs", (pair: unknown) => pair).expand({ pair: zip(a, [1, 2]) })],
    ["by what also has the list", (a) => two.expand({ x: a }, a)],
    ["by what has another list that goes with it", (a) => two.expand({ x: a }, inc.expand({ x: a }))],
    ["by a group behind gates of its own", (a) => group("m", (_: unknown) => inc.expand({ x: a })).expand({ _: [1] })],
    ["by one task", (a) => keep.with({ triggerRule: "allSuccess" })(a)],
  ])("%s, in a group", async (_, body) => {
    const run = await runOf(() => group("g", () => body(first.expand({ x: [0, 1] }))));
    const [last] = (await run.tasks()).slice(-1);
    expect(last.state).toBe("upstreamFailed");
    const others = (await run.tasks()).filter(({ id }) => !/first|inc\[0\]/.test(id));
    expect(others.every(({ state }) => state !== "success")).toBe(true);
  });

  test("in a dag that is called as a node, as where it runs by itself", async () => {
    const inner = dag("inner", () => inc.expand({ x: first.expand({ x: [0, 1] }) }));
    const run = await runOf(() => group("g", () => inner()));
    expect((await run.tasks()).at(-1)).toMatchObject({ id: "g.inner.inc", state: "upstreamFailed" });
  });
});

describe("random groups", () => {
  type End = "success" | "failed" | "skipped" | "upstreamFailed";
  /** What one end before it lets a rule do. */
  const RULES: Readonly<Record<string, (end: End) => End | "run">> = {
    allSuccess: (end) => (end === "success" ? "run" : end === "skipped" ? "skipped" : "upstreamFailed"),
    allDone: () => "run",
    noneFailed: (end) => (end === "failed" || end === "upstreamFailed" ? "upstreamFailed" : "run"),
    oneFailed: (end) => (end === "failed" || end === "upstreamFailed" ? "run" : "skipped"),
    allSkipped: (end) => (end === "skipped" ? "run" : "skipped"),
    noneSkipped: (end) => (end === "skipped" ? "skipped" : "run"),
  };
  const one = fc.record({
    over: fc.nat(), size: fc.nat(4), rule: fc.constantFrom(...Object.keys(RULES)), isMapped: fc.boolean(), byList: fc.boolean(),
    listEnd: fc.constantFrom<End>("success", "success", "failed", "skipped"),
    ends: fc.array(fc.constantFrom<End>("success", "success", "failed", "skipped"), { minLength: 4, maxLength: 4 }),
  });
  type Shape = (typeof one) extends fc.Arbitrary<infer T> ? T : never;
  const isRoot = (i: number, { over }: Shape): boolean => over % (i + 1) === i;

  const act = (end: End, value: string): string => {
    if (end === "failed") throw new Error("it fails");
    return end === "skipped" ? ctx().skip("it is skipped") : value;
  };

  function body(shapes: readonly Shape[]): Node<unknown> {
    const nodes: Node<string[]>[] = [];
    shapes.forEach((shape, i) => {
      const { size, ends, over, rule, isMapped, byList, listEnd } = shape;
      const step = task(`t${i}`, (x: string | undefined) => act(ends[ctx().task.mapIndex as number], `t${i}(${x})`), {
        triggerRule: isRoot(i, shape) ? "allSuccess" : rule as "allDone",
      });
      const items = Array.from({ length: size }, (_, n) => `${n}`);
      const list = task(`list${i}`, () => (act(listEnd, ""), items));
      if (isRoot(i, shape)) return nodes.push(step.expand({ x: byList ? list() : items }));
      const before = nodes[over % (i + 1)];
      return nodes.push(step.expand({ x: isMapped ? before.map((x) => x) : before }));
    });
    return keep(nodes.map((node) => node.withStates()));
  }

  type Told = readonly { readonly state: End; readonly value: string | undefined }[] | End;

  function model(shapes: readonly Shape[]): Told[] {
    const told: Told[] = [];
    shapes.forEach((shape, i) => {
      const { size, ends, over, rule, byList, listEnd } = shape;
      const step = (n: number, x: string | undefined) => (
        { state: ends[n], value: ends[n] === "success" ? `t${i}(${x})` : undefined }
      );
      if (isRoot(i, shape)) {
        if (byList && listEnd !== "success") return told.push(listEnd === "failed" ? "upstreamFailed" : "skipped");
        return told.push(size === 0 ? "skipped" : Array.from({ length: size }, (_, n) => step(n, `${n}`)));
      }
      const before = told[over % (i + 1)];
      if (typeof before === "string") return told.push(before);
      return told.push(before.map(({ state, value }, n) => {
        const may = RULES[rule](state);
        return may === "run" ? step(n, value) : { state: may, value: undefined };
      }));
    });
    return told;
  }

  test("give what the model gives", async () => {
    await fc.assert(fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 6 }), async (shapes) => {
      const run = await runOf(() => group("g", () => body(shapes)));
      const states = await statesOf(run);
      const expected: Record<string, string> = {};
      model(shapes).forEach((told, i) => {
        if (typeof told === "string") expected[`g.t${i}`] = told;
        else told.forEach(({ state }, n) => { expected[`g.t${i}[${n}]`] = state; });
      });
      expect(Object.fromEntries(Object.entries(states).filter(([id]) => id.startsWith("g.t")))).toEqual(expected);
      const results = model(shapes).map((told) => (typeof told === "string" ? [] : told));
      if (run.state === "success") expect(await run.result()).toEqual(results);
    }), { numRuns: 150 });
  });
});
