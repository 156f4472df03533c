// `troupe dag …`: graphs in the files of a project.

import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import type { Dag, DagRun } from "../dag/index.ts";
import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import { asDriver } from "./driver.ts";
import { FoundWrong } from "./failure.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson, table } from "./table.ts";

type AnyDag = Dag<object, unknown>;

interface PlaceOptions extends ConnectOptions {
  /** A file, or a folder of files. */
  readonly dir: string;
  readonly json?: boolean;
}
interface RunOptions extends PlaceOptions {
  readonly params?: object;
}

const SOURCE = /\.(?:mjs|js|cjs|mts|ts)$/;

export function declareDag(dag: Command): void {
  placed(dag.command("list")).description("the graphs there are, and when each is due next").option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe dag list --dir dags").action(list);
  placed(dag.command("show")).description("a graph as a Mermaid flowchart").argument("<dag>", "its id")
    .addHelpText("after", "\nExample:\n  $ troupe dag show sales > sales.mmd").action(show);
  placed(dag.command("next")).description("when a graph is due next").argument("<dag>", "its id")
    .option("--count <n>", "how many times", Number, 5).option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe dag next sales --count 3").action(next);
  placed(dag.command("test"))
    .description("run a graph in this process, without a cluster; waits take no time")
    .argument("<dag>", "its id")
    .option("--params <json>", "parameters of the run", paramsOf)
    .option("--json", "print JSON")
    .addHelpText("after", '\nExample:\n  $ troupe dag test sales --params \'{"day": "2026-01-01"}\'')
    .action(test);
  connecting(placed(dag.command("run"))).description("run a graph on the cluster, or on a private one, and show how it goes")
    .argument("<dag>", "its id").option("--params <json>", "parameters of the run", paramsOf).option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe dag run sales --address 127.0.0.1:6380").action(run);
  connecting(placed(dag.command("backfill")))
    .description("runs for times that have passed")
    .argument("<dag>", "its id")
    .requiredOption("--from <date>", "first time")
    .requiredOption("--to <date>", "last time")
    .option("--reprocess <which>", "what to do about times that have a run: none, failed or completed", "none")
    .option("--dry-run", "only say what would be done")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe dag backfill sales --from 2026-01-01 --to 2026-01-31 --dry-run")
    .action(backfill);
}

function placed(command: Command): Command {
  return command.option("--dir <path>", "a file, or a folder of files, that export graphs", "dags");
}

function paramsOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new InvalidArgumentError(`--params must be a JSON object, not ${text}`);
}

async function dagsIn(path: string): Promise<AnyDag[]> {
  const found = new Map<string, AnyDag>();
  for (const file of filesOf(path)) {
    const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
    for (const value of Object.values(exported)) {
      if (typeof value !== "function" || !("definition" in value)) continue;
      const dag = value as unknown as AnyDag;
      const before = found.get(dag.id);
      if (before !== undefined && before !== dag)
        throw new InvalidArgumentError(`there are two graphs with the id ${dag.id} in ${path}`);
      found.set(dag.id, dag);
    }
  }
  return [...found.values()];
}

function filesOf(path: string): string[] {
  const from = resolve(path);
  try {
    if (!statSync(from).isDirectory()) return [from];
    return readdirSync(from)
      .filter((name) => SOURCE.test(name) && !name.endsWith(".d.ts"))
      .sort()
      .map((name) => join(from, name));
  } catch (error) {
    throw new InvalidArgumentError(`--dir ${path} can't be read: ${(error as Error).message}`);
  }
}

async function dagOf(id: string, { dir }: PlaceOptions): Promise<AnyDag> {
  const dags = await dagsIn(dir);
  const dag = dags.find((one) => one.id === id);
  if (dag !== undefined) return dag;
  const known = dags.map((one) => one.id).join(", ") || "none: is it exported?";
  throw new NotFoundError(`there is no graph ${id} in ${dir}; there are ${known}`);
}

async function list(options: PlaceOptions): Promise<void> {
  const rows = (await dagsIn(options.dir)).map((dag) => {
    const { kind } = dag.schedule;
    const schedule = dag.schedule.kind === "times" ? (dag.schedule.timetable.text ?? "a timetable") : kind;
    return {
      id: dag.id,
      schedule,
      next: dag.next()[0]?.toISOString() ?? "",
      tags: (dag.options.tags ?? []).join(", "),
      warnings: dag.warnings,
    };
  });
  if (options.json) printJson(rows);
  else print(rows.length === 0 ? `no graphs are exported in ${options.dir}` : table(["id", "schedule", "next", "tags"], rows));
}

async function show(id: string, options: PlaceOptions): Promise<void> {
  print((await dagOf(id, options)).mermaid().trimEnd());
}

async function next(id: string, options: PlaceOptions & { readonly count: number }): Promise<void> {
  const times = (await dagOf(id, options)).next({ count: options.count }).map((at) => at.toISOString());
  if (options.json) printJson(times);
  else print(times.length === 0 ? `${id} has no times` : times.join("\n"));
}

async function test(id: string, options: RunOptions): Promise<void> {
  await told(await (await dagOf(id, options)).test(options.params), options);
}

function run(id: string, options: RunOptions): Promise<void> {
  return asDriver({ ...options, orPrivate: true, logToDriver: true }, async () => {
    const begun = await (await dagOf(id, options)).run(options.params);
    if (!options.json) {
      for await (const event of begun.events()) {
        if (event.type !== "task" || event.state === "scheduled" || event.state === "queued") continue;
        process.stderr.write(`${event.at.toISOString()} ${event.taskId} ${event.state}\n`);
      }
    }
    await told(begun, options);
  });
}

/** How a run ended: its rows and its result. */
async function told(ended: DagRun, { json }: PlaceOptions): Promise<void> {
  await ended.done();
  const rows = await ended.tasks();
  const result = ended.state === "success" ? await ended.result() : undefined;
  if (json) printJson({ id: ended.id, state: ended.state, tasks: rows, result });
  else {
    print(table(["id", "state", "attempt", "reason"], rows.map((row) => ({ ...row }))));
    print(`${ended.id}: ${ended.state}`);
    if (result !== undefined) print(`result: ${JSON.stringify(result)}`);
  }
  if (ended.state !== "success") throw new FoundWrong();
}

function backfill(
  id: string,
  options: PlaceOptions & { from: string; to: string; reprocess: "none" | "failed" | "completed"; dryRun?: boolean },
): Promise<void> {
  return asDriver({ ...options, orPrivate: true, logToDriver: true }, async () => {
    const dag = await dagOf(id, options);
    const { from, to, reprocess } = options;
    if (options.dryRun) {
      const planned = (await dag.backfill({ from, to, reprocess, dryRun: true })).map(({ logicalDate, action }) => (
        { logicalDate: logicalDate.toISOString(), action }
      ));
      return options.json ? printJson(planned) : print(table(["logicalDate", "action"], planned));
    }
    const filled = await dag.backfill({ from, to, reprocess });
    await filled.done;
    const rows = filled.runs.map((one) => ({ id: one.id, logicalDate: one.logicalDate.toISOString(), state: one.state }));
    if (options.json) printJson(rows);
    else print(table(["logicalDate", "state", "id"], rows));
    if (rows.some(({ state }) => state !== "success")) throw new FoundWrong();
  });
}
