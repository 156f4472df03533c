// `troupe status`: nodes, what they have and what of it is free, actors and jobs by state.

import type { Command } from "commander";
import { type Row, withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson, shownBytes, table } from "./table.ts";

export function declareStatus(command: Command): void {
  connecting(command)
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe status
  $ troupe status --json --address 127.0.0.1:6380 --token-file token`)
    .action(status);
}

async function status(options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  await withCluster(options, async ({ link, target }) => {
    const [nodes, actors, jobs] = await Promise.all([link.rows("nodes"), link.rows("actors"), link.rows("jobs")]);
    const alive = nodes.filter((node) => node.state === "ALIVE");
    const found = {
      clusterId: link.clusterId,
      address: (target.record?.address ?? target.agentAddress).replace(/^tcp:/, ""),
      nodes,
      resources: sum(alive.map((node) => node.resources as Amounts)),
      available: sum(alive.map((node) => node.available as Amounts)),
      actors: countBy(actors),
      jobs: countBy(jobs),
    };
    if (options.json) return printJson(found);
    print(`cluster ${found.clusterId} at ${found.address}\n`);
    const columns = ["id", "state", "address", "host", "metrics", "head", "available", "labels"];
    print(table(columns, found.nodes.map((node) => shownNode(node))));
    print("\nin use:");
    for (const [name, total] of Object.entries(found.resources)) {
      const show = name === "memory" ? shownBytes : String;
      print(`  ${show(Math.max(0, total - (found.available[name] ?? 0)))} of ${show(total)} ${name}`);
    }
    print(`\nactors: ${shownCounts(found.actors)}\njobs:   ${shownCounts(found.jobs)}`);
  });
}

type Amounts = Readonly<Record<string, number>>;

function shownNode(node: Row): Row {
  const { memory, ...available } = node.available as Amounts;
  const shown = memory === undefined ? available : { ...available, memory: shownBytes(memory) };
  const metrics = node.metricsPort === 0 ? "" : `127.0.0.1:${String(node.metricsPort)}/metrics`;
  return { ...node, metrics, head: node.isHead ? "yes" : "", available: shown };
}

function sum(rows: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const row of rows) for (const [name, value] of Object.entries(row)) total[name] = (total[name] ?? 0) + value;
  return total;
}

function countBy(rows: readonly Row[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { state } of rows) counts[String(state)] = (counts[String(state)] ?? 0) + 1;
  return counts;
}

function shownCounts(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts).map(([state, count]) => `${count} ${state.toLowerCase()}`).join(", ") || "none";
}
