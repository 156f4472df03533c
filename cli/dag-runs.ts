// `troupe dag serve|trigger|runs|tasks|logs|why|clear|resume|mark|cancel|pause|unpause`: graphs and runs of the cluster.

import type { DagEvent, RunBook, RunRow } from "../dag/index.ts";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { eventsOf, type ServiceOptions, withRuns, withService } from "./dag-service.ts";
import { asDriver } from "./driver.ts";
import { FoundWrong } from "./failure.ts";
import { watchRun } from "./run-screen.ts";
import { json, printRun, printRunJson, taskTable } from "./run-tables.ts";
import { shownMs } from "./run-view.ts";
import { refuseExposure } from "./option-values.ts";
import { print, printJson, shown, table } from "./table.ts";

interface WaitOptions extends ServiceOptions {
  readonly wait?: boolean;
}

const RUN_COLUMNS = ["id", "dag", "state", "logicalDate", "type", "started", "took"];

export function trigger(
  dag: string, { params, logicalDate, ...options }: WaitOptions & { readonly params?: object; readonly logicalDate?: string },
): Promise<void> {
  return withService(options, async (service) => {
    const id = await service.trigger(dag, { params: params as Record<string, unknown> | undefined, logicalDate });
    if (options.wait) return watched(service, id, options);
    if (options.json) printJson(await service.run(id));
    else print(id);
  });
}

export function listRuns(
  dagId: string | undefined, { state, limit, ...options }: ServiceOptions & { readonly state?: string; readonly limit: number },
): Promise<void> {
  return withRuns(options, async (book) => {
    const found = await book.runs({ dagId, state, limit });
    if (options.json) return printJson(found);
    print(found.length === 0 ? "there are no such runs" : table(RUN_COLUMNS, found.map(shownRun)));
  });
}

function shownRun({ id, dagId, state, type, logicalDate, startedAt, endedAt }: RunRow): Record<string, unknown> {
  const took = startedAt === undefined ? "" : shownMs((endedAt?.getTime() ?? Date.now()) - startedAt.getTime());
  return { id, dag: dagId, state, type, logicalDate: logicalDate.toISOString(), started: startedAt?.toISOString(), took };
}

export function tasks(run: string, options: ServiceOptions): Promise<void> {
  return withRuns(options, async (book) => {
    const rows = await book.tasks(run);
    if (options.json) printJson(rows);
    else print(taskTable(rows));
  });
}

export function logs(
  run: string, task: string | undefined, options: ServiceOptions & { readonly follow?: boolean },
): Promise<void> {
  return withRuns(options, async (book) => {
    const rows = await book.tasks(run);
    if (task !== undefined && !rows.some(({ id }) => isOf(id, task))) {
      const known = rows.map(({ id }) => id).slice(0, 20).join(", ");
      throw new InvalidArgumentError(`run ${run} has no task ${task}; it has ${known}`);
    }
    for await (const event of options.follow ? eventsOf(book, run) : soFar(book, run)) {
      if (event.type === "run" || event.type === "task" || (task !== undefined && !isOf(event.taskId ?? "", task))) continue;
      print(options.json ? json(event) : lineOf(event));
    }
  });
}

async function* soFar(book: RunBook, run: string): AsyncGenerator<DagEvent> {
  for (let from = 0; ;) {
    const { events, next } = await book.events(run, { from });
    if (events.length === 0) return;
    yield* events;
    from = next;
  }
}

const isOf = (id: string, task: string): boolean => id === task || id.startsWith(`${task}[`);

function lineOf({ at, type, taskId = "", attempt, name = "", value }: DagEvent): string {
  const it = String(value);
  const what = { log: `${name} ${it}`, metric: `metric ${name}=${it}`, progress: `progress ${it}/${name}` };
  const again = attempt === undefined || attempt === 0 ? "" : ` (attempt ${attempt})`;
  const text = what[type as keyof typeof what] ?? "";
  return `${at.toISOString()} ${taskId}${again} ${text.split("\n").map(shown).join("\n")}`;
}

export function why(run: string, task: string, options: ServiceOptions): Promise<void> {
  return withRuns(options, async (book) => {
    const { text, reasons } = await book.why(run, task);
    if (options.json) printJson({ text, reasons });
    else print(text);
  });
}

export function clear(
  run: string,
  { task, downstream, ...options }: WaitOptions & { readonly task?: readonly string[]; readonly downstream: boolean },
): Promise<void> {
  return changed(options, (book) => book.clear(run, { task, downstream }));
}

export function resume(run: string, options: WaitOptions): Promise<void> {
  return changed(options, (book) => book.resume(run));
}

export function mark(run: string, task: string, state: "success" | "failed" | "skipped", options: ServiceOptions): Promise<void> {
  return changed(options, (book) => book.mark(run, task, state));
}

export function cancel(run: string, options: ServiceOptions): Promise<void> {
  return changed(options, (book) => book.cancel(run));
}

function changed(options: WaitOptions, change: (book: RunBook) => Promise<RunRow>): Promise<void> {
  return withRuns(options, async (book, isHere) => {
    const row = await change(book);
    // What goes on in this process ends with it.
    if (options.wait || (isHere && row.state === "running")) return watched(book, row.id, options);
    if (options.json) printJson(row);
    else print(`${row.id}: ${row.state}`);
  });
}

/** Shows how it goes, and how it ended. */
async function watched(book: RunBook, id: string, { json: asJson }: ServiceOptions): Promise<void> {
  const ids = (await book.tasks(id)).map((row) => row.id.replace(/\[[\d,]+\]$/, ""));
  if (asJson) for await (const _event of eventsOf(book, id));
  else await watchRun(eventsOf(book, id), ids);
  const { state } = await book.run(id);
  const ended = { id, state, tasks: await book.tasks(id), result: state === "success" ? await book.result(id) : undefined };
  if (asJson) printRunJson(ended);
  else printRun(ended);
  if (state !== "success") throw new FoundWrong();
}

export function pause(dag: string, options: ServiceOptions): Promise<void> {
  return paused(dag, options, true);
}

export function unpause(dag: string, options: ServiceOptions): Promise<void> {
  return paused(dag, options, false);
}

function paused(dag: string, options: ServiceOptions, isPaused: boolean): Promise<void> {
  return withService(options, async (service) => {
    await (isPaused ? service.pause(dag) : service.unpause(dag));
    if (options.json) printJson({ id: dag, paused: isPaused });
    else print(`${dag} is ${isPaused ? "paused" : "on"}`);
  });
}

interface ServeArgs extends ServiceOptions {
  readonly paused?: boolean;
  readonly stop?: boolean;
  readonly http?: number;
  readonly listen?: string;
}

/** Where the HTTP API is to be; plain text beyond this machine is refused, or warned of. */
function apiPlaceOf({ http, listen, insecureIUnderstand }: ServeArgs): { port: number; host: string } | undefined {
  if (http === undefined) {
    if (listen !== undefined) throw new InvalidArgumentError("--listen is for the HTTP API: give --http PORT too");
    return undefined;
  }
  const host = listen ?? "127.0.0.1";
  refuseExposure(`the HTTP API at ${host}`, host, insecureIUnderstand);
  return { port: http, host };
}

export function serve(dir: string, options: ServeArgs): Promise<void> {
  const http = apiPlaceOf(options);
  if (options.stop) {
    return withService(options, async (service) => {
      await service.stop();
      if (options.json) printJson({ name: service.name, stopped: true });
      else print(`service ${service.name} has ended`);
    });
  }
  return asDriver({ ...options, orPrivate: true }, async (isPrivate) => {
    const { serveDags } = await import("../dag/index.ts");
    const service = await serveDags({ dir }, { name: options.service, paused: options.paused, http });
    const rows = (await service.dags()).map(({ runs: _runs, next, ...row }) => ({ ...row, next: next?.toISOString() }));
    const { name, url } = service;
    if (options.json) printJson({ name, url, dags: rows });
    else {
      print(`service ${name} serves${url === undefined ? "" : ` at ${url}`}`);
      print(table(["id", "schedule", "next", "paused"], rows));
    }
    if (isPrivate) await untilEnded();
  });
}

async function untilEnded(): Promise<void> {
  process.stderr.write("no cluster runs on this machine: a private one serves them until this command is ended (Ctrl-C)\n");
  // Nothing else keeps the process alive.
  const alive = setInterval(() => {}, 60_000);
  await new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  clearInterval(alive);
}
