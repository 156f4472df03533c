// `troupe drain NODE`: the node gets no new work, and what runs there goes on.

import type { Command } from "commander";
import { withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson } from "./table.ts";

export function declareDrain(command: Command): void {
  connecting(command)
    .argument("<node>", "its id, as `troupe list nodes` shows it")
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe drain 3f2a9c01d4e5b687
  $ troupe list tasks --filter state=RUNNING --filter nodeId=3f2a9c01d4e5b687`)
    .action(drain);
}

async function drain(node: string, options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  await withCluster(options, async ({ link }) => {
    await link.drain(node);
    const [row] = await link.rows("nodes", { id: node });
    if (options.json) printJson(row);
    else print(`node ${node} is ${String(row?.state)}: it gets no new work, and bundles of groups on it are placed anew`);
  });
}
