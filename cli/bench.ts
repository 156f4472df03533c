// `troupe bench`: the microbenchmarks, named as those of Ray.

import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { NotFoundError } from "../runtime/errors.ts";
import { FoundWrong } from "./failure.ts";
import { print, printJson } from "./table.ts";

interface Result {
  readonly name: string;
  readonly error?: string;
}
/** What is used of bench/microbenchmark.ts: it lies above the command line, and is loaded only when it is asked for. */
interface Benchmarks {
  runMicrobenchmark(options: { readonly only?: string; readonly onResult?: (result: Result) => void }): Promise<Result[]>;
  resultLine(result: Result): string;
}

const MODULE = new URL("../bench/microbenchmark.js", import.meta.url);

export function declareBench(command: Command): void {
  command
    .option("--only <pattern>", "only rows whose name fits this regular expression")
    .option("--json", "print JSON")
    .addHelpText("after", `
Example:
  $ troupe bench --only single_client_tasks`)
    .action(bench);
}

async function bench(options: { readonly only?: string; readonly json?: boolean }): Promise<void> {
  const { runMicrobenchmark, resultLine } = await load();
  const onResult = options.json ? undefined : (result: Result) => print(resultLine(result));
  const results = await runMicrobenchmark({ only: options.only, onResult });
  if (results.length === 0) throw new NotFoundError(`no benchmark's name fits ${options.only}`);
  if (options.json) printJson(results);
  if (results.some(({ error }) => error !== undefined)) throw new FoundWrong();
}

async function load(): Promise<Benchmarks> {
  try {
    return (await import(MODULE.href)) as Benchmarks;
  } catch (error) {
    throw new NotFoundError(`the benchmarks can't be loaded from ${fileURLToPath(MODULE)}`, {}, error);
  }
}
