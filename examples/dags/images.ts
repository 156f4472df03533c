// A project of eight graphs that files start: test images, then training images, then one more land in a folder, and each
// time exactly the right graphs run. On images of coats and pullovers.

import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { init } from "troupe";
import { dag, type DagService, defineStore, serveDags, sql } from "troupe/dag";
import { pgmOf, type Picture, picturesIn } from "./images/dataset.ts";
import { graphsOf, prepare } from "./images/graphs.ts";
import { champion } from "./images/tasks.ts";

const DATA = join(dirname(createRequire(import.meta.url).resolve("troupe/package.json")), "examples", "dags", "data");
const WAIT_MS = 120_000;
const folder = await mkdtemp(join(tmpdir(), "images-"));
process.env.TROUPE_CONN_WAREHOUSE = `duckdb://${join(folder, "warehouse.db")}`;

/** What Slack would be told. */
const notes: { text: string }[] = [];
const slack = createServer(async (request, response) => {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  notes.push(JSON.parse(Buffer.concat(parts).toString()) as { text: string });
  response.end("ok");
});
await new Promise<void>((resolve) => slack.listen(0, "127.0.0.1", resolve));
const webhook = `http://127.0.0.1:${(slack.address() as AddressInfo).port}/hook`;

/** All at once, as a folder that is moved in. */
async function drop(kind: "train" | "test", batch: string, pictures: readonly Picture[]): Promise<void> {
  const aside = join(folder, "aside", batch);
  await mkdir(aside, { recursive: true });
  await mkdir(join(folder, "landing", kind), { recursive: true });
  for (const picture of pictures) await writeFile(join(aside, `${picture.name}.pgm`), pgmOf(picture));
  await rename(aside, join(folder, "landing", kind, batch));
}

/** How often each graph has run to its end, once nothing but the sensors is at work. */
async function settled(service: DagService, graph: string, times: number): Promise<Record<string, number>> {
  for (const end = Date.now() + WAIT_MS; ;) {
    const served = await service.dags();
    const failed = served.flatMap(({ runs }) => runs.filter(({ state }) => state === "failed"));
    assert.deepEqual(failed, []);
    const counts = served.map(({ id, runs }) => [id, runs.filter(({ state }) => state === "success").length] as const);
    const busy = served.filter(({ id, activeRuns }) => activeRuns > 0 && !id.startsWith("in_new_"));
    if (Object.fromEntries(counts)[graph] === times && busy.length === 0) return Object.fromEntries(counts);
    assert.ok(Date.now() < end, `${graph} has not run ${times} times: ${JSON.stringify(counts)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await using _cluster = await init({ numCpus: 2 });
const place = (name: string) => defineStore(name, { dir: join(folder, name) });
const graphs = graphsOf({ landing: place("landing"), images: place("images"), models: place("models"), webhook });
await (await prepare.run()).result();
const service = await serveDags({ dags: graphs });

const nothing = {
  in_new_train: 0, in_new_test: 0, preprocess_train: 0, preprocess_test: 0, train_model: 0, test_baseline: 0, test_fine_tuned: 0,
  deploy_best: 0,
};
await drop("test", "first", await picturesIn(DATA, "t10k"));
const tested = { ...nothing, in_new_test: 1, preprocess_test: 1, test_baseline: 1 };
assert.deepEqual(await settled(service, "test_baseline", 1), tested);

const [last, ...pictures] = (await picturesIn(DATA, "train")).toReversed();
await drop("train", "many", pictures);
const deployed = { ...tested, in_new_train: 1, preprocess_train: 1, train_model: 1, test_fine_tuned: 1, deploy_best: 1 };
assert.deepEqual(await settled(service, "deploy_best", 1), deployed);

// One more file: five graphs run once more, the others do not.
await drop("train", "one", [last]);
const again = { ...tested, in_new_train: 2, preprocess_train: 2, train_model: 2, test_fine_tuned: 2, deploy_best: 2 };
assert.deepEqual(await settled(service, "deploy_best", 2), again);

// No file: nothing happens.
await new Promise((resolve) => setTimeout(resolve, 1000));
assert.deepEqual(await settled(service, "deploy_best", 2), again);

const check = dag("check", () => ({
  images: sql("warehouse")`select kind, count(*)::integer as n, count(distinct label)::integer as labels
    from images group by kind order by kind`,
  results: sql("warehouse")`select model, auc, accuracy from results order by auc desc, tested`,
}));
const found = await (await check.run()).result();
const rows = [...found.results].map((row) => row!.toJSON() as { model: string; auc: number; accuracy: number });
assert.deepEqual([...found.images].map((row) => row!.toJSON()), [
  { kind: "test", n: 160, labels: 2 }, { kind: "train", n: 500, labels: 2 },
]);
const before = rows.find(({ model }) => model === "baseline")!;
assert.equal(rows.length, 3);
assert.ok(rows[0].auc >= before.auc + 0.2, `an area of ${rows[0].auc}, not 0.2 above ${before.auc}`);
assert.deepEqual(await champion.get(), { model: rows[0].model, auc: rows[0].auc });
assert.deepEqual(notes, Array.from({ length: 2 }, () => ({ text: "deploy_best: the best model is up", channel: "#models" })));
for (const { model, auc, accuracy } of rows) {
  console.log(model, `area under the curve ${auc.toFixed(3)}, right ${(accuracy * 100).toFixed(1)} %`);
}
await service.stop();
slack.close();
await rm(folder, { recursive: true });
