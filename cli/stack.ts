// `troupe stack [WORKER]`: what a worker is doing now, also when its event loop is blocked.

import type { Command } from "commander";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { type ClusterLink, withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson } from "./table.ts";
import { findProcess, type NamedProcess } from "./worker-names.ts";

/** Without a name, these are looked at. */
const AT_WORK = new Set<unknown>(["LEASED", "ACTOR"]);

interface Stack extends NamedProcess {
  readonly pid: number;
  readonly state: string;
  readonly text: string;
}

export function declareStack(command: Command): void {
  connecting(command)
    .argument("[worker]", "its id or process id, or an actor or task that it runs")
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe stack
  $ troupe stack 4711`)
    .action(stack);
}

async function stack(name: string | undefined, options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  await withCluster(options, async ({ link }) => {
    const wanted = name === undefined ? undefined : await findProcess(link, name);
    if (wanted?.process === "") throw new InvalidArgumentError(`${name} is a node: only workers tell their stacks`);
    const workers = (await link.rows("workers")).filter(({ id, state }) => (
      wanted === undefined ? AT_WORK.has(state) : id === wanted.process
    ));
    const stacks = await Promise.all(workers.map(async ({ id, nodeId, pid, state }): Promise<Stack> => {
      const whose = { node: String(nodeId), process: String(id) };
      return { ...whose, pid: Number(pid), state: String(state), text: await told(link, whose) };
    }));
    if (options.json) return printJson(stacks);
    if (stacks.length === 0) print(wanted === undefined ? "no worker is at work" : `worker ${wanted.process} has ended`);
    for (const { node, process, pid, state, text } of stacks) {
      print(`worker ${process} (process ${pid}, ${state}) on node ${node}:\n${text.startsWith(" ") ? text : `    ${text}`}`);
    }
  });
}

async function told(link: ClusterLink, whose: NamedProcess): Promise<string> {
  try {
    return (await link.ask("readStack", whose, "stack")).text;
  } catch (error) {
    return `it did not tell: ${(error as Error).message}`;
  }
}
