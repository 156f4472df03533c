// What the graphs do: images are moved, turned into features, learned from; models are kept, tested and promoted.

import type { Table } from "apache-arrow";
import { ctx, type Store, type StoredFile, task, variable } from "troupe/dag";
import { featuresOf, FEATURES, type Head, type Samples, type Score, scoreOf, trained } from "./classifier.ts";
import { pixelsOf } from "./dataset.ts";

export interface Places {
  /** Where new files come to, below `train/` and `test/`. */
  readonly landing: Store;
  readonly images: Store;
  readonly models: Store;
  /** Of Slack, or what stands for it. */
  readonly webhook: string;
}

export interface Champion {
  readonly model: string;
  readonly auc: number;
}

/** Parts that features are made in. */
export const SHARDS = 2;

export const champion = variable<Champion>("champion");

export function tasksOf({ landing, images, models }: Places) {
  const keysOf = (files: readonly StoredFile[]): string[] => files.map(({ key }) => key);
  const move = task("move", async (key: string) => {
    const name = key.split("/");
    await images.put(`${name[0]}/${name.at(-1)}`, landing.read(key));
    await landing.delete(key);
    return key;
  });
  const labelOf = (path: string): string => /([a-z]+)-\d+\.pgm$/.exec(path)![1];
  const label = task("label", (paths: readonly string[]) => paths.map(labelOf));
  const paths = task("paths", keysOf);

  const samplesOf = task("features", async (found: Table, shard: number): Promise<Samples> => {
    const all = [...found.getChild("path")!].map(String);
    const mine = all.filter((_, i) => i % SHARDS === shard);
    const x = new Float64Array(mine.length * FEATURES);
    for (const [i, path] of mine.entries()) x.set(featuresOf(pixelsOf(await images.get(path))), i * FEATURES);
    return { x, y: Uint8Array.from(mine, (path) => (labelOf(path) === "coat" ? 1 : 0)) };
  }, { args: ["found", "shard"] });
  const join = task("join", (parts: readonly Samples[]): Samples => ({
    x: Float64Array.from(parts.flatMap(({ x }) => [...x])), y: Uint8Array.from(parts.flatMap(({ y }) => [...y])),
  }));
  const fit = task("fit", (from: Samples, rate: number): Head => trained(from, rate), { args: ["from", "rate"] });
  const test = task("test", (head: Head, on: Samples): Score => scoreOf(head, on), { args: ["head", "on"] });
  const best = task("best", (heads: readonly Head[], scores: readonly Score[]): Head => (
    heads[scores.reduce((found, { auc }, i) => (auc > scores[found].auc ? i : found), 0)]
  ));
  const save = task("save", async ({ rate, weights }: Head) => {
    const model = `fine-tuned-${ctx().run.id.slice(-6)}`;
    await models.put(`${model}.json`, JSON.stringify({ rate, weights: [...weights] }));
    return model;
  });
  const load = task("load", async (found: Table): Promise<{ model: string; head: Head }> => {
    const model = String(found.getChild("model")!.get(0));
    const { rate, weights } = JSON.parse((await models.get(`${model}.json`)).toString()) as Head;
    return { model, head: { rate, weights: Float64Array.from(weights) } };
  });
  const headOf = task("head", ({ head }: { head: Head }) => head);
  const rowOf = task("row", (model: string, { auc, accuracy }: Score) => [{ model, auc, accuracy }]);
  const nameOf = task("name", ({ model }: { model: string }) => model);
  const promote = task("promote", (found: Table) => {
    const row = found.get(0)!.toJSON() as { model: string; auc: number };
    return champion.update((now) => (now !== undefined && now.auc >= row.auc ? now : row));
  });
  return { move, label, paths, samplesOf, join, fit, test, best, save, load, headOf, rowOf, nameOf, promote };
}
