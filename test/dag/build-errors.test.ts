// What is wrong with a graph is said where it is made, with its name, the task's, and what to do.

import { describe, expect, test } from "vitest";
import {
  branch, chain, clear, type Dag, dag, GraphError, group, loop, mark, noop, type Node, pool, resume, task, teardown,
} from "../../dag/index.ts";
import { retentionOf } from "../../dag/graph/run-limits.ts";
import { InvalidArgumentError, NotFoundError } from "../../sdk/index.ts";

const one = task("one", () => 1);
const add = task("add", (n: number) => n + 1);
const messageOf = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    return (error as Error).message;
  }
  return "no error";
};

describe("graphs", () => {
  let stray: Node<number>;
  dag("other", () => { stray = one(); });
  test.each<[what: string, make: () => unknown, text: string]>([
    ["a cycle", () => { const [a, b, c] = [noop("a"), noop("b"), noop("c")]; chain(a, b, c, a); },
      "dag d: the graph has a cycle: a -> b -> c -> a; take one of these edges out"],
    ["itself", () => { const a = noop("a"); a.before(a); }, "dag d: task a can't come after itself"],
    ["an upstream of another graph", () => add(stray),
      "dag d: task add comes after one, a task of another graph: call its dag as a node instead"],
    ["an end that is none", () => noop("a").after("one" as never),
      'dag d: an edge leads from and to nodes, what calls of tasks give, not "one"'],
    ["a value that is not there", () => `${one() as never}`,
      "dag d: the result of one is not there yet: it can't be used as a value while the graph is built; give it to a task"],
    ["a field of a value that is not there", () => (one() as never as unknown[]).length,
      "dag d: the result of one is not there yet: its field length can't be read while the graph is built; give it to a task"],
    ["what is in a loop", () => {
      let round: Node<number>;
      loop((before: Node<number>) => { round = before; return add(before); }, { max: 2, initial: 1 });
      return task("outside", (n: number) => n)(round!);
    }, "dag d: task outside uses what only exists inside of loop: use what loop gives instead"],
    ["too many slots",
      () => task("load", () => 1, { pool: pool("small", 2), poolSlots: 3 })(),
      "dag d: task load needs 3 slots of pool small, which has 2: give it fewer poolSlots, or the pool more"],
    ["a pool that is none", () => task("load", () => 1, { pool: "nowhere" })(),
      'dag d: task load: pool nowhere is not known: make it with pool("nowhere", slots)'],
    ["a body that is async", async () => add(1),
      "dag d: the body of a dag must not be async: it only draws the graph, and nothing in it can be waited for"],
    ["a group that is async", () => group("g", async () => add(1)),
      "dag d: group g must not be async: it only draws the graph, and nothing in it can be waited for"],
    ["a result of another graph", () => ({ all: [stray] }),
      "dag d: its result has one in it, a task of another graph: call its dag as a node instead"],
    ["a node in a map", () => task("map", (all: Map<string, unknown>) => all)(new Map([["one", one()]])),
      "dag d: the result of one is in a Map: nodes are found in arrays and plain objects only"],
    ["sets that are none", () => add.expandAll([1 as never]),
      "dag d: add.expandAll takes sets of arguments by name, [{ x: 1 }], not 1"],
    ["a teardown alone", () => teardown(noop("t"), { setups: [] }), "dag d: teardown t has no setup: give it setups: [node]"],
    ["an unknown parameter", () => add.expand({ m: [1] }), "dag d: task add has no parameter m; it has n"],
  ])("%s", (_what, make, text) => {
    expect(messageOf(() => dag("d", make))).toBe(text);
    expect(() => dag("d", make)).toThrow(GraphError);
  });

  test("the stack is that of the line that drew it", () => {
    let error: Error | undefined;
    try {
      dag("d", () => noop("a").after(1 as never));
    } catch (thrown) {
      error = thrown as Error;
    }
    expect(error?.stack).toMatch(/^GraphError: dag d: an edge leads[^]*build-errors\.test\.ts/);
  });
});

describe("joins", () => {
  const pick = branch(function pick() { return "a"; }, ...[]);
  const warnings = (make: () => unknown): readonly string[] => dag("d", make).warnings;

  test("one that no way lets run is a warning; those that can run are none", () => {
    const text = "dag d: task join joins ways of branch pick: with triggerRule 'allSuccess' it is skipped whenever one of " +
      "them is; give it triggerRule: 'noneFailedMinOneSuccess'";
    expect(warnings(() => {
      const ways = { a: noop("a"), b: noop("b") };
      pick.to(ways);
      noop("after").after(noop("join").after(ways.a, ways.b));
    })).toEqual([text]);
    expect(warnings(() => {
      const join = noop("join");
      pick.to({ a: noop("a").before(join), join });
    })).toEqual([text]);
    expect(warnings(() => {
      const ways = { a: noop("a"), b: noop("b") };
      pick.to(ways);
      const join = task("join", () => 1, { triggerRule: "noneFailedMinOneSuccess" })();
      join.after(ways.a, ways.b);
      noop("with").after(join, ways.a);
    })).toEqual([]);
  });
});

describe("options", () => {
  const wrong = (options: object): string => messageOf(() => dag("d", options as never, () => one()));

  test.each<[options: object, text: string]>([
    [{ schedul: "@daily" }, "dag d option schedul is not known; known are: catchup, deadline,"],
    [{ schedule: "@dayly" }, "the schedule @dayly is not known; known are @once, @hourly,"],
    [{ startDate: "soon" }, "dag d: startDate must be a Date or an ISO text, not soon"],
    [{ startDate: "2026-02-01", endDate: "2026-01-01" }, "dag d: startDate is after endDate"],
    [{ catchup: "yes" }, 'dag d option catchup must be true or false, not "yes"'],
    [{ maxActiveRuns: 0 }, "dag d option maxActiveRuns must be a whole number of 1 or more, not 0"],
    [{ maxActiveTasks: 1.5 }, "dag d option maxActiveTasks must be a whole number of 1 or more, not 1.5"],
    [{ timeoutMs: 0 }, "dag d option timeoutMs must be milliseconds above 0, not 0"],
    [{ retention: "7d" }, 'dag d option retention must be milliseconds, or { results, record } in milliseconds, not "7d"'],
    [{ deadline: { in: 1 } }, "dag d option deadline must be milliseconds above 0, or { ms, from:"],
    [{ tags: "a" }, 'dag d option tags must be a list of texts, not "a"'],
    [{ params: 5 }, "dag d option params must be an object of defaults, or a schema (standardschema.dev), not 5"],
    [{ onFailure: "mail" }, 'dag d option onFailure must be a function, or a list of functions, not "mail"'],
    [{ defaultTask: { retries: -1 } }, "dag d: defaultTask option retries must be a whole number of 0 or more, not -1"],
  ])("of a dag: %j", (options, text) => expect(wrong(options)).toContain(text));

  test("of a task, its own and the runtime's", () => {
    const of = (options: object): string => messageOf(() => task("t", () => 1, options));
    expect(of({ retryDelayMs: -1 })).toBe("task t option retryDelayMs must be a number of 0 or more, not -1");
    expect(of({ numCpus: "two" })).toBe('task t option numCpus must be a number of 0 or more, not "two"');
    expect(of({ outlets: "table" })).toBe('task t option outlets must be assets, not "table"');
    expect(of({ retrys: 1 })).toContain("task t option retrys is not known; known are: args,");
    expect(messageOf(() => task("a b", () => 1))).toBe('task: the id must be letters, digits, "_", "-" and ".", not "a b"');
  });

  test("retention has a default of seven days, for both or for each", () => {
    const week = 7 * 86_400_000;
    expect([retentionOf({}), retentionOf({ retention: 5 }), retentionOf({ retention: { results: 1 } })])
      .toEqual([{ results: week, record: week }, { results: 5, record: 5 }, { results: 1, record: week }]);
  });
});

test("runs that are not known are rejections, never throws", async () => {
  for (const asked of [() => clear("none", { task: "a" }), () => resume("none"), () => mark("none", "a", "success")]) {
    await expect(asked()).rejects.toThrow(NotFoundError);
  }
});

test("asking when a graph is due changes nothing", () => {
  const times = (graph: Dag<Record<string, never>, unknown>): string[] => (
    graph.next({ after: "2026-01-01T00:00:00Z", count: 3 }).map((at) => at.toISOString())
  );
  const now = dag("now", { schedule: "@once" }, () => one());
  const later = dag("later", { schedule: "@once", startDate: "2026-02-01" }, () => one());
  for (let asked = 0; asked < 2; asked += 1) {
    expect([times(now), times(later)]).toEqual([["2026-01-01T00:00:00.000Z"], ["2026-02-01T00:00:00.000Z"]]);
  }
});

test("a run that is not over at its deadline says so, and goes on", async () => {
  const missed: unknown[] = [];
  const deadline = { ms: 1000, onMiss: ({ error }: { error?: unknown }) => { missed.push(String(error)); } };
  const slow = task("slow", () => { throw new Error("once"); }, { retries: 1, retryDelayMs: 5000 });
  const run = await dag("slow", { deadline }, () => slow()).test({}, { now: "2026-01-01T00:00:00Z" });
  const events = [];
  for await (const event of run.events()) events.push(event);
  expect(events).toContainEqual(expect.objectContaining({ type: "log", name: "deadline", at: new Date("2026-01-01T00:00:01Z") }));
  const text = "DeadlineError: the run was not over at its deadline, 2026-01-01T00:00:01.000Z";
  expect([missed, run.state]).toEqual([[text], "failed"]);
  const quick = await dag("quick", { deadline: 1000 }, () => one()).test();
  expect(await quick.result()).toBe(1);
});
