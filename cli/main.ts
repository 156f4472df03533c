// The command line: reads arguments, runs one command, and turns what went wrong into a sentence and an exit status.
//
//   0  done      1  failed      2  wrong usage

import { Command, CommanderError } from "commander";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { RELEASE } from "../runtime/release.ts";
import { COMMANDS } from "./commands.ts";
import { FoundWrong } from "./failure.ts";

const OK = 0;
const FAILED = 1;
const WRONG_USAGE = 2;

/** Runs the command of these arguments and sets the exit status. */
export async function main(args: readonly string[]): Promise<void> {
  // Whoever read the output has read enough (`troupe list actors | head`): the work goes on.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
  process.exitCode = await statusOf(args);
}

async function statusOf(args: readonly string[]): Promise<number> {
  try {
    await (await program(args)).parseAsync(args, { from: "user" });
    return OK;
  } catch (error) {
    // Commander has written its message already; help and version count as success.
    if (error instanceof CommanderError) return error.exitCode === 0 ? OK : WRONG_USAGE;
    if (error instanceof FoundWrong) return FAILED;
    process.stderr.write(`troupe: ${sentenceOf(error)}\n`);
    return error instanceof InvalidArgumentError ? WRONG_USAGE : FAILED;
  }
}

/** What went wrong, for people: the kind of error and its text, no stack. */
function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isPlain = error instanceof InvalidArgumentError || error.name === "TroupeError";
  const text = isPlain ? error.message : `${error.name}: ${error.message}`;
  // What the operating system said, if it is behind it.
  const { code, syscall } = (error.cause ?? {}) as NodeJS.ErrnoException;
  return syscall === undefined || text.includes(String(code)) ? text : `${text} (${code})`;
}

async function program(args: readonly string[]): Promise<Command> {
  const troupe = new Command("troupe")
    .description("A distributed, actor-based compute runtime for TypeScript and Node.js")
    .version(RELEASE)
    .exitOverride()
    .showSuggestionAfterError()
    .addHelpText("after", `
Example:
  $ troupe start --head
  $ troupe status
  $ troupe stop
Every command has --help with an example. Exit status: 0 done, 1 failed, 2 wrong usage.`);
  const asked = args[0] === "help" ? args[1] : args[0];
  for (const [name, { description, load }] of Object.entries(COMMANDS)) {
    const command = troupe.command(name).description(description);
    if (name === asked) (await load())(command);
  }
  return troupe;
}
