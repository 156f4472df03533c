// `troupe timeline -o FILE`: what ran where and what waited, for https://ui.perfetto.dev.

import type { Command } from "commander";
import { TIMELINE_TASKS_MAX, writeTimeline, type TaskRow } from "../sdk/contract.ts";
import { withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print } from "./table.ts";

export function declareTimeline(command: Command): void {
  connecting(command)
    .requiredOption("-o, --output <file>", "where to write it")
    .addHelpText("after", `
Example:
  $ troupe timeline -o trace.json      # and open it at https://ui.perfetto.dev`)
    .action(timeline);
}

async function timeline(options: ConnectOptions & { readonly output: string }): Promise<void> {
  await withCluster(options, async ({ link }) => {
    const rows = (await link.rows("tasks", {}, TIMELINE_TASKS_MAX)) as readonly object[] as readonly TaskRow[];
    await writeTimeline(options.output, rows, { clusterId: link.clusterId });
    print(`${rows.length} tasks and calls in ${options.output}`);
  });
}
