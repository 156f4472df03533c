// `troupe list KIND`: one line for each node, actor, worker or job.

import { Argument, type Command } from "commander";
import type { NodeInfo } from "../runtime/transport/index.ts";
import { resourceAmounts } from "../scheduler/index.ts";
import { ClusterLink, type Found, type Row, withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions, pairsOf } from "./option-values.ts";
import { print, printJson, table } from "./table.ts";

/** What is shown of each kind; JSON has the same fields. */
const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  nodes: ["id", "state", "address", "host", "pid", "isHead", "resources", "available", "labels", "reason"],
  actors: ["actor", "className", "state", "name", "namespace", "node", "pid", "restarts", "jobId"],
  workers: ["id", "state", "pid", "nodeId", "jobId"],
  jobs: ["id", "state", "name", "namespace", "node", "entry", "reason"],
};

interface ListOptions extends ConnectOptions {
  readonly json?: boolean;
  readonly filter?: Readonly<Record<string, string>>;
}

export function addList(troupe: Command): void {
  connecting(troupe.command("list"))
    .description("what a cluster holds, one line each")
    .addArgument(new Argument("<kind>", "what to list").choices(Object.keys(COLUMNS)))
    .option("--json", "print JSON")
    .option("--filter <field=value>", "only rows whose field has this value; may be given several times", pairsOf)
    .addHelpText("after", `
Example:
  $ troupe list actors --filter state=ALIVE
  $ troupe list nodes --json`)
    .action(list);
}

async function list(kind: string, options: ListOptions): Promise<void> {
  const columns = COLUMNS[kind];
  const filter = Object.entries(options.filter ?? {});
  await withCluster(options, async (found) => {
    const rows = (await rowsOf(kind, found)).map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
    const kept = rows.filter((row) => filter.every(([field, value]) => String(row[field] ?? "") === value));
    if (options.json) printJson(kept);
    else print(kept.length === 0 ? `no ${kind}` : table(columns, kept));
  });
}

async function rowsOf(kind: string, found: Found): Promise<Row[]> {
  if (kind === "nodes") return (await found.link.nodes()).map(nodeRow);
  return kind === "workers" ? workers(found) : found.link.rows(kind);
}

/** Only a worker's own agent knows it: each is asked. */
async function workers({ link, target, trustedNetwork }: Found): Promise<Row[]> {
  const others = (await link.nodes()).filter((node) => node.state === "ALIVE" && node.id !== link.nodeId && node.address !== "");
  const asked = others.map(async (node): Promise<Row[]> => {
    try {
      const other = await ClusterLink.open(node.address, target.token, trustedNetwork);
      return await other.rows("workers").finally(() => other.close());
    } catch (error) {
      process.stderr.write(`node ${node.id} was not asked: ${(error as Error).message}\n`);
      return [];
    }
  });
  return (await Promise.all([link.rows("workers"), ...asked])).flat();
}

export interface ShownNode extends Row {
  readonly isHead: boolean;
  readonly resources: Readonly<Record<string, number>>;
  readonly available: Readonly<Record<string, number>>;
}

export function nodeRow({ id, state, address, host, pid, isHead, total, available, labels, reason }: NodeInfo): ShownNode {
  return {
    id, state, address: address.replace(/^tcp:/, ""), host, pid, isHead: isHead === true, labels, reason: reason ?? "",
    resources: resourceAmounts(total), available: resourceAmounts(available ?? {}),
  };
}
