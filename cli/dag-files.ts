// `troupe dag list|show|next|test|run|backfill`: graphs in the files of a project.

import type { BackfillOptions, DagRun } from "../dag/index.ts";
import { NotFoundError } from "../runtime/errors.ts";
import { type ServiceOptions, withService } from "./dag-service.ts";
import { asDriver } from "./driver.ts";
import { FoundWrong } from "./failure.ts";
import type { ConnectOptions } from "./option-values.ts";
import { watchRun } from "./run-screen.ts";
import { printRun, printRunJson } from "./run-tables.ts";
import { othersOnStderr, print, printJson, table } from "./table.ts";

interface PlaceOptions {
  /** A file, or a folder of files. */
  readonly dir: string;
  readonly json?: boolean;
}
type EitherOptions = PlaceOptions & ServiceOptions;
interface RunOptions extends PlaceOptions {
  readonly params?: object;
}

/** The graphs of a folder; what is made there and not exported is named on stderr. */
async function dagsOf(dir: string) {
  othersOnStderr();
  const { dagsIn } = await import("../dag/index.ts");
  const { dags, warnings } = await dagsIn(dir);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  return dags;
}

async function dagOf(id: string, { dir }: PlaceOptions) {
  const dags = await dagsOf(dir);
  const dag = dags.find((one) => one.id === id);
  if (dag !== undefined) return dag;
  const known = dags.map((one) => one.id).join(", ") || "none: is it exported?";
  throw new NotFoundError(`there is no graph ${id} in ${dir}; there are ${known}`);
}

export async function list(options: EitherOptions): Promise<void> {
  if (options.address !== undefined) return listServed(options);
  const [dags, { scheduleText }] = [await dagsOf(options.dir), await import("../dag/contract.ts")];
  const rows = dags.map(({ id, schedule, options: { tags = [] }, next, warnings }) => (
    { id, schedule: scheduleText(schedule), next: next()[0]?.toISOString(), tags, warnings }
  ));
  if (options.json) return printJson(rows);
  print(rows.length === 0 ? `no graphs are exported in ${options.dir}` : table(["id", "schedule", "next", "tags"], rows));
}

function listServed(options: EitherOptions): Promise<void> {
  return withService(options, async (service) => {
    const rows = (await service.dags()).map(({ runs: _runs, next, ...row }) => ({ ...row, next: next?.toISOString() }));
    if (options.json) return printJson(rows);
    const columns = ["id", "schedule", "next", "paused", "activeRuns", "version", "tags"];
    print(rows.length === 0 ? `service ${service.name} serves no graphs` : table(columns, rows));
  });
}

export async function show(id: string, options: EitherOptions & { readonly mermaid?: boolean }): Promise<void> {
  const detail = options.address !== undefined
    ? await withService(options, (service) => service.describe(id))
    : (await import("../dag/contract.ts")).describeGraph((await dagOf(id, options)).definition);
  if (options.json) return printJson(detail);
  if (options.mermaid) return print(detail.mermaid.trimEnd());
  const { tasks, warnings, schedule, tags, doc, params } = detail;
  print(`${detail.id}${doc === undefined ? "" : `: ${doc}`}`);
  print(`schedule ${schedule}${tags.length === 0 ? "" : `, tags ${tags.join(", ")}`}, params ${JSON.stringify(params)}`);
  print(table(["id", "kind", "mapped", "upstream", "triggerRule", "retries", "pool"], tasks.map((task) => ({ ...task }))));
  for (const warning of warnings) print(`warning: ${warning}`);
}

export async function next(id: string, options: EitherOptions & { readonly count: number }): Promise<void> {
  const times = options.address !== undefined
    ? await withService(options, (service) => service.next(id, options.count))
    : (await dagOf(id, options)).next({ count: options.count });
  const shown = times.map((at) => at.toISOString());
  if (options.json) printJson(shown);
  else print(shown.length === 0 ? `${id} has no times` : shown.join("\n"));
}

export async function test(id: string, options: RunOptions & { readonly now?: string }): Promise<void> {
  const dag = await dagOf(id, options);
  await told(await dag.test(options.params, { now: options.now }), options);
}

export function run(id: string, options: RunOptions & ConnectOptions): Promise<void> {
  return asDriver({ ...options, orPrivate: true, logToDriver: true }, async () => {
    const dag = await dagOf(id, options);
    const begun = await dag.run(options.params);
    // Once more ends the command.
    process.once("SIGINT", () => void begun.cancel());
    if (!options.json) {
      process.stderr.write(`run ${begun.id}\n`);
      await watchRun(begun.events(), await taskIdsOf(dag));
    }
    await told(begun, options);
  });
}

async function taskIdsOf({ definition }: Awaited<ReturnType<typeof dagOf>>): Promise<string[]> {
  const { describeGraph } = await import("../dag/contract.ts");
  return describeGraph(definition).tasks.filter(({ kind }) => kind !== "loop").map((task) => task.id);
}

/** How a run ended: its rows and its result. */
async function told(ended: DagRun, { json }: PlaceOptions): Promise<void> {
  await ended.done();
  const rows = await ended.tasks();
  const result = ended.state === "success" ? await ended.result() : undefined;
  const { id, state } = ended;
  if (json) printRunJson({ id, state, tasks: rows, result });
  else printRun({ id, state, tasks: rows, result });
  if (state !== "success") throw new FoundWrong();
}

interface BackfillArgs extends PlaceOptions, ConnectOptions {
  readonly from: string;
  readonly to: string;
  readonly reprocess: NonNullable<BackfillOptions["reprocess"]>;
  readonly reverse?: boolean;
  readonly maxActiveRuns: number;
  readonly dryRun?: boolean;
}

export function backfill(id: string, args: BackfillArgs): Promise<void> {
  return asDriver({ ...args, orPrivate: true, logToDriver: true }, async () => {
    const dag = await dagOf(id, args);
    const { from, to, reprocess, reverse, maxActiveRuns, json } = args;
    const span = { from, to, reprocess, reverse, maxActiveRuns };
    if (args.dryRun) {
      const planned = (await dag.backfill({ ...span, dryRun: true })).map(({ logicalDate, action }) => (
        { logicalDate: logicalDate.toISOString(), action }
      ));
      return json ? printJson(planned) : print(table(["logicalDate", "action"], planned));
    }
    const filled = await dag.backfill(span);
    await filled.done;
    const rows = filled.runs.map((one) => ({ id: one.id, logicalDate: one.logicalDate.toISOString(), state: one.state }));
    if (json) printJson(rows);
    else print(table(["logicalDate", "state", "id"], rows));
    if (rows.some(({ state }) => state !== "success")) throw new FoundWrong();
  });
}
