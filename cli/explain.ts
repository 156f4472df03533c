// `troupe explain ID`: what an object, task, call or actor waits for.

import type { Command } from "commander";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { explainId, isObjectId, type Told } from "../sdk/contract.ts";
import { withCluster } from "./cluster-link.ts";
import { FoundWrong } from "./failure.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson } from "./table.ts";

export function declareExplain(command: Command): void {
  connecting(command)
    .argument("<id>", "its id, as `troupe list tasks`, `objects` or `actors` shows it")
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe list tasks --filter state=QUEUED
  $ troupe explain 3f2a9c01d4e5b687.1k`)
    .action(explain);
}

async function explain(id: string, options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  if (!isObjectId(id)) throw new InvalidArgumentError(`${id} is no id: troupe list tasks, objects or actors shows them`);
  await withCluster(options, async ({ link }) => {
    const found = await explainId(id, async (kind, about, process = ""): Promise<Told> => {
      const { json, missing } = await link.ask("listState", { kind, filters: { id: about }, process }, "stateRows");
      return { rows: JSON.parse(json) as Told["rows"], missing };
    });
    if (options.json) printJson(found);
    else print(found.text);
    if (found.reasons.some(({ kind, id: about }) => kind === "unknown" && about === id)) throw new FoundWrong();
  });
}
