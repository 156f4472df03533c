// `troupe list KIND`, `troupe get KIND ID`, `troupe summary tasks`: what a cluster holds.

import { Argument, type Command } from "commander";
import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import { checkFilters, type StateKind } from "../sdk/contract.ts";
import { withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions, pairsOf } from "./option-values.ts";
import { print, printJson, shown, table } from "./table.ts";

/** What people are shown of each kind; JSON has everything. */
const COLUMNS: Readonly<Record<StateKind, readonly string[]>> = {
  nodes: ["id", "state", "address", "host", "pid", "metricsPort", "isHead", "resources", "available", "labels", "reason"],
  actors: ["id", "className", "state", "name", "namespace", "nodeId", "pid", "restarts", "jobId"],
  tasks: ["id", "name", "state", "attempt", "nodeId", "workerPid", "runMs", "errorCode"],
  objects: ["id", "size", "state", "ownerId", "locations", "localHandles", "borrowers", "lifetime", "name"],
  workers: ["id", "state", "pid", "nodeId", "jobId"],
  stores: ["nodeId", "used", "capacity", "objects", "made", "madeBytes", "copiedBytes"],
  events: ["at", "kind", "id", "text"],
  groups: ["id", "state", "strategy", "name", "namespace", "bundles", "lifetime", "jobId", "reason"],
  logs: ["id", "state", "pid", "nodeId", "bytes"],
  jobs: ["id", "state", "name", "namespace", "nodeId", "entry", "reason"],
};

interface ListOptions extends ConnectOptions {
  readonly json?: boolean;
  readonly limit?: number;
  readonly filter?: Readonly<Record<string, string>>;
}

export function declareList(command: Command): void {
  connecting(command)
    .addArgument(new Argument("<kind>", "what to list").choices(Object.keys(COLUMNS)))
    .option("--json", "print JSON")
    .option("--limit <count>", "at most so many rows", countOf)
    .option("--filter <field=value>", "only rows whose field has this value; may be given several times", pairsOf)
    .addHelpText("after", `
Example:
  $ troupe list actors --filter state=ALIVE
  $ troupe list nodes --json`)
    .action(list);
}

export function declareGet(command: Command): void {
  connecting(command)
    .addArgument(new Argument("<kind>", "what it is").choices(Object.keys(COLUMNS)))
    .argument("<id>", "its id, as `troupe list` shows it")
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe get nodes node-1`)
    .action(one);
}

export function declareSummary(command: Command): void {
  connecting(command)
    .addArgument(new Argument("<kind>", "what to count").choices(["tasks"]))
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe summary tasks`)
    .action((_kind: string, options: ListOptions) => summary(options));
}

function countOf(text: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 1)
    throw new InvalidArgumentError(`--limit must be a whole number from 1, not ${text}`);
  return count;
}

async function list(kind: StateKind, options: ListOptions): Promise<void> {
  const filters = checkFilters(`troupe list ${kind}`, kind, options.filter ?? {});
  await withCluster(options, async ({ link }) => {
    const rows = await link.rows(kind, filters, options.limit);
    if (options.json) printJson(rows);
    else print(rows.length === 0 ? `no ${kind}` : table(COLUMNS[kind], rows));
  });
}

async function one(kind: StateKind, id: string, options: ListOptions): Promise<void> {
  await withCluster(options, async ({ link }) => {
    const [row] = await link.rows(kind, { [kind === "stores" ? "nodeId" : "id"]: id });
    if (row === undefined) throw new NotFoundError(`there is no ${kind.slice(0, -1)} ${id} in this cluster`);
    if (options.json) printJson(row);
    else print(Object.entries(row).map(([field, value]) => `${field.padEnd(14)}${shown(value)}`).join("\n"));
  });
}

/** How many tasks of each name are in which state. */
async function summary(options: ListOptions): Promise<void> {
  await withCluster(options, async ({ link }) => {
    const counts = new Map<string, Record<string, number>>();
    for (const row of await link.rows("tasks")) {
      const states = counts.get(String(row.name)) ?? {};
      const state = String(row.state);
      counts.set(String(row.name), { ...states, [state]: (states[state] ?? 0) + 1 });
    }
    const rows = [...counts].map(([name, states]) => {
      return { name, states, total: Object.values(states).reduce((sum, count) => sum + count, 0) };
    });
    if (options.json) printJson(rows);
    else print(rows.length === 0 ? "no tasks" : table(["name", "total", "states"], rows));
  });
}
