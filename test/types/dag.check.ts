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

const scaled = task("scaled", (a: number, b = 1) => a * b);
const labelled = task("labelled", async (n: number, label: string, list: string[]) => ({ n, label, list }));
const total = task("total", (list: number[]) => list.length);
dag("defaults", () => {
  const one: Node<number> = scaled(1);
  const two: Node<number> = scaled(one, scaled(2, 3));
  const many: Node<number[]> = scaled.expand({ b: [1, 2] }, two);
  total(many);
  total(scaled.expand({ b: numbers() }, 1));
  total(scaled.expand({ a: [1, one] }));
  total(scaled.expand({ a: [1], b: [2] }));
  total(scaled.expand({ a: many.map((x) => x + 1) }, 5));
  scaled(1, undefined);
  const ones: Node<number>[] = [];
  const literals = [task("one", () => 1)(), task("sure", () => true)(), task("name", () => "x")()] as const;
  // Types are the same when each takes the other.
  const same = <T>(_a: (value: T) => T, _b: (value: T) => T): void => {};
  same<typeof literals>((value) => value, (value: readonly [Node<number>, Node<boolean>, Node<string>]) => value);
  const either: Node<"a" | "b"> = task("either", (n: number): "a" | "b" => (n > 1 ? "a" : "b"))(1);
  const branded = task("branded", () => "x" as string & { readonly brand: 1 })();
  const kept: Node<string & { readonly brand: 1 }> = branded;
  // @ts-expect-error a text is no number
  scaled("x");
  // @ts-expect-error a text is no number
  scaled(1, "x");
  // @ts-expect-error an argument too many
  scaled(1, 2, 3);
  // @ts-expect-error a list is no number
  scaled(many);
  // @ts-expect-error texts are no numbers
  scaled.expand({ b: ["x"] }, 1);
  // @ts-expect-error a text is no number
  scaled.expand({ b: [1, 2] }, "x");
  // @ts-expect-error an argument too many
  scaled.expand({ b: [1, 2] }, 1, 2);
  // @ts-expect-error more lists than parameters
  scaled.expand({ a: [1], b: [2], c: [3] });
  // @ts-expect-error the list itself is no list of numbers
  scaled.expand({ b: 5 }, 1);
  // @ts-expect-error what it gives is a list
  scaled(scaled.expand({ b: [1, 2] }, 1));

  const rows: Node<{ n: number; label: string; list: string[] }[]> = labelled.expand({ n: [1, 2] }, "x", ["y"]);
  labelled.expand({ label: texts(), n: numbers() }, texts());
  labelled.expand({ list: [texts(), ["x"]] }, one, "x");
  task("rows", (all: { n: number }[]) => all.length)(rows);
  // @ts-expect-error the others come in the order of the parameters
  labelled.expand({ n: [1] }, ["y"], "x");
  // @ts-expect-error the list of texts is missing
  labelled.expand({ n: [1] }, "x");
  // @ts-expect-error there is one parameter that takes numbers
  labelled.expand({ n: [1], label: [2] }, ["y"]);

  const any = task("any", (...values: number[]) => values.length);
  any.expand({ x: [1] }, 2, 3);
  const named: Record<string, number[]> = { b: [1] };
  scaled.expand(named, 1);
  return [ones, either, kept];
});
