// `troupe logs [ID]`: what workers printed, as their nodes keep it.

import type { Command } from "commander";
import { type ClusterLink, type Row, withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson, table } from "./table.ts";
import { findProcess, type NamedProcess } from "./worker-names.ts";

const PART_BYTES = 1024 * 1024;
const LOOK_EVERY_MS = 300;
/** Looks without news before it is asked whether the worker has ended. */
const QUIET_LOOKS = 10;

interface LogsOptions extends ConnectOptions {
  readonly follow?: boolean;
  readonly json?: boolean;
}

export function declareLogs(command: Command): void {
  connecting(command)
    .argument("[id]", "a worker, an actor, a task, or a node for its agent's own log")
    .option("-f, --follow", "go on until it ends")
    .option("--json", "print the list of logs as JSON")
    .addHelpText("after", `
Example:
  $ troupe logs
  $ troupe logs 4711 --follow`)
    .action(logs);
}

async function logs(id: string | undefined, options: LogsOptions): Promise<void> {
  await withCluster(options, async ({ link }) => {
    if (id !== undefined) return show(link, await findProcess(link, id), options.follow === true);
    const rows = await link.rows("logs");
    if (options.json) return printJson(rows);
    print(rows.length === 0 ? "no logs: no worker has printed anything" : table(["id", "state", "pid", "nodeId", "bytes"], rows));
  });
}

async function show(link: ClusterLink, whose: NamedProcess, follow: boolean): Promise<void> {
  let at = 0;
  for (let quiet = 0; ; ) {
    const part = await link.ask("readLog", { ...whose, offset: at, length: PART_BYTES }, "logPart");
    if (part.offset > at) process.stderr.write(`(${part.offset - at} bytes before this are no longer kept)\n`);
    process.stdout.write(part.bytes);
    at = part.offset + part.bytes.length;
    if (at < part.end) continue;
    if (!follow) return;
    quiet = part.bytes.length > 0 ? 0 : quiet + 1;
    if (quiet % QUIET_LOOKS === QUIET_LOOKS - 1 && (await hasEnded(link, whose))) return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function hasEnded(link: ClusterLink, whose: NamedProcess): Promise<boolean> {
  const [row]: Row[] = await link.rows("logs", { id: whose.process, nodeId: whose.node });
  return row?.state === "ENDED";
}
