// What compiles, and what does not: graphs.

import { dag, group, loop, task } from "../../dag/index.ts";

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
