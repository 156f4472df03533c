// Eight graphs, each started by what another made: images land in a folder, are kept and listed in a database, a model is
// trained on them, tested, and the best one is deployed.

import { asset, type CallbackInfo, dag, fileSensor, listFiles, notify, pool, sql, task, zip } from "troupe/dag";
import { untrained } from "./classifier.ts";
import { type Places, SHARDS, tasksOf } from "./tasks.ts";

type Kind = "train" | "test";
const KINDS = ["train", "test"] as const;
/** The database is a file, which one task at a time writes. */
const turns = { pool: pool("duckdb", 1) };
const RATES = [0.5, 2];
const LOOK_MS = 200;

const assets = {
  arrived: { train: asset("images/train/arrived"), test: asset("images/test/arrived") },
  ready: { train: asset("images/train/ready"), test: asset("images/test/ready") },
  model: asset("models"), results: asset("results"),
};

const create = `
  create table images (path text primary key, kind text, label text);
  create table models (model text primary key, made timestamp);
  create table results (model text, tested timestamp, auc double, accuracy double)`;

/** Run once. */
export const prepare = dag("prepare", () => sql("warehouse", turns)([create] as unknown as TemplateStringsArray));

export function graphsOf(places: Places) {
  const { landing, images, webhook } = places;
  const tasks = tasksOf(places);
  const { move, label, paths, samplesOf, join, fit, test, best, save, load, headOf, rowOf, nameOf, promote } = tasks;
  const samples = (kind: Kind) => {
    const found = sql("warehouse", turns)`select path from images where kind = ${kind} order by path`;
    return join(samplesOf.expand({ shard: Array.from({ length: SHARDS }, (_, i) => i) }, found));
  };


  const arrivals = KINDS.map((kind) => dag(`in_new_${kind}`, { schedule: "@continuous" }, () => {
    const files = fileSensor("wait", { store: landing, prefix: `${kind}/` }, { everyMs: LOOK_MS });
    const done = task("arrived", (keys: readonly string[]) => keys.length, { outlets: assets.arrived[kind] });
    return done(move.expand({ key: paths(files) }));
  }));
  const preparations = KINDS.map((kind) => dag(`preprocess_${kind}`, { schedule: assets.arrived[kind] }, () => {
    const found = paths(listFiles({ store: images, prefix: `${kind}/` }));
    const rows = zip(found, label(found)).map(([path, name]) => ({ path, name }));
    sql("warehouse", { ...turns, id: "insert", outlets: assets.ready[kind] })`
      insert or ignore into images select path, ${kind}, name from ${rows}`;
  }));
  const training = dag("train_model", { schedule: assets.ready.train }, () => {
    const from = samples("train");
    const heads = fit.expand({ rate: RATES }, from);
    const model = save(best(heads, test.expand({ head: heads }, from)));
    sql("warehouse", { ...turns, id: "insert", outlets: assets.model })`insert into models values (${model}, now()::timestamp)`;
  });
  const insertResult = (id: string, rows: unknown, outlets: readonly (typeof assets.results)[]) => (
    sql("warehouse", { ...turns, id, outlets })`
      insert into results select model, now()::timestamp, auc, accuracy from ${rows}`
  );
  const baseline = dag("test_baseline", { schedule: assets.ready.test }, () => {
    insertResult("insert", rowOf("baseline", test(task("untrained", untrained)(), samples("test"))), []);
  });
  const fineTuned = dag("test_fine_tuned", { schedule: assets.model }, () => {
    const loaded = load(sql("warehouse", turns)`select model from models order by made desc limit 1`);
    insertResult("insert", rowOf(nameOf(loaded), test(headOf(loaded), samples("test"))), [assets.results]);
  });
  const deployment = dag("deploy_best", { schedule: assets.results }, () => {
    const found = sql("warehouse", turns)`select model, auc from results order by auc desc, tested limit 1`;
    const text = ({ run }: CallbackInfo): string => `${run.dagId}: the best model is up`;
    promote.with({ onSuccess: notify.slack({ webhook, channel: "#models", text }) })(found);
  });
  return [...arrivals, ...preparations, training, baseline, fineTuned, deployment];
}
