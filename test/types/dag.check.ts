// What compiles, and what does not: graphs.

import { dag, group, loop, type Node, task, zip } from "../../dag/index.ts";

const load = task("load", async (path: string) => [path.length]);
const train = task("train", (table: number[], depth: number) => ({ depth, table }));

dag("typed", { params: { path: "x", depth: 3 } }, (params) => {
  const table = load(params.path);
  const model = train(table, params.depth);
  train([1, 2], 3);
  // @ts-expect-error a number is no table
  train(params.depth, 3);
  // @ts-expect-error there is no such parameter
  load(params.file);
  // @ts-expect-error an argument is missing
  train(table);
  const models = train.expand({ depth: [1, 2] }, table);
  task("count", (all: { depth: number }[]) => all.length)(models);
  // @ts-expect-error a list of models is no model
  task("one", (one: { depth: number }) => one.depth)(models);
  const each = group("each", (depth: number) => ({ model: train(table, depth) })).expand({ depth: [1, 2] });
  task("all", (all: { depth: number }[]) => all.length)(each.model);
  const looped = loop<number>((previous, index) => task("step", (p: number, i: number) => p + i)(previous, index), {
    max: 3,
    initial: 0,
  });
  return { model, looped };
}).run({ path: "y" }).then(async (run) => {
  const result = await run.result();
  const depth: number = result.model.depth + result.looped;
  // @ts-expect-error the result is no string
  const wrong: string = result.looped;
  return [depth, wrong];
});

// @ts-expect-error the parameter is a string
void dag("params", { params: { path: "x" } }, ({ path }) => load(path)).run({ path: 1 });

const step = task("step", (p: number, i: number) => p + i);
const numbers = task("numbers", () => [1, 2]);
const texts = task("texts", () => ["a"]);
dag("lists", () => {
  step.expand({ p: numbers().map((x) => x + 1), i: [numbers.with({})().map((x) => x) as never, 3] });
  step.expandAll([{ p: 1 }, { p: step(1, 2), i: 3 }], 4);
  // @ts-expect-error texts are no numbers
  step.expand({ p: ["a"] }, 3);
  // @ts-expect-error nor is a node of them
  step.expand({ p: texts() }, 3);
  // @ts-expect-error nor are the other arguments
  step.expand({ p: [1] }, "x");
  // @ts-expect-error nor those of sets
  step.expandAll([{ p: "x" }]);
  const pairs: Node<[number, string][]> = zip(numbers(), texts());
  const filled: Node<[number | null, string | null][]> = zip(numbers(), ["a"], { fill: null });
  return [pairs, filled];
});

dag("loops", () => {
  const each = group("each", (x: Node<number>) => loop((p) => step(p, 1), { max: 2, initial: x }));
  const lists: Node<number[]> = each.expand({ x: numbers() });
  // What the first round has tells the type of all.
  const looped: Node<number> = loop((previous, index) => step(previous, index), {
    until: (value) => value > 3, max: 5, initial: 0,
  });
  // @ts-expect-error a text is no number
  loop((previous, index) => step(previous, index), { max: 5, initial: "x" });
  return [lists, looped];
});
