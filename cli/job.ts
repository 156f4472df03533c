// `troupe job …`: programs that run on the cluster.

import type { Command } from "commander";
import { TroupeError } from "../runtime/errors.ts";
import type * as sdk from "../sdk/index.ts";
import { asDriver } from "./driver.ts";
import { FoundWrong } from "./failure.ts";
import { connecting, type ConnectOptions, pairsOf, resourcesOf } from "./option-values.ts";
import { print, printJson, table } from "./table.ts";

const LOOK_EVERY_MS = 300;
const COLUMNS = ["id", "state", "exitCode", "submittedAt", "endedAt", "command", "reason"];

interface SubmitOptions extends ConnectOptions {
  readonly id?: string;
  readonly workingDir?: string;
  readonly env?: Record<string, string>;
  readonly quota?: Record<string, number>;
  readonly wait: boolean;
}

export function declareJob(job: Command): void {
  job.addHelpText("after", "\nExample:\n  $ troupe job submit --working-dir . -- node app.js\n  $ troupe job list");
  connecting(job.command("submit"))
    .description("run a program on the cluster, and show what it prints until it ends")
    .argument("<command...>", "the program and its arguments, after --")
    .option("--id <id>", "its id (default: a random one)")
    .option("--working-dir <folder>", "a folder that goes along, and the program starts in")
    .option("--env <name=value...>", "environment variables of the program", pairsOf)
    .option("--quota <json>", 'what it may hold in the cluster at once, such as {"CPU": 2}', resourcesOf)
    .option("--no-wait", "only start it, and print its id")
    .addHelpText("after", `
Example:
  $ troupe job submit --working-dir . -- node app.js`)
    .action(submit);
  connecting(job.command("status")).description("how a job is").argument("<id>").option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe job status job-1a2b3c4d").action(status);
  connecting(job.command("logs")).description("what a job printed").argument("<id>").option("-f, --follow", "go on until it ends")
    .addHelpText("after", "\nExample:\n  $ troupe job logs job-1a2b3c4d --follow").action(logs);
  connecting(job.command("stop")).description("end a job").argument("<id>")
    .addHelpText("after", "\nExample:\n  $ troupe job stop job-1a2b3c4d").action(stop);
  connecting(job.command("list")).description("all jobs that were submitted").option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  $ troupe job list --json").action(list);
}

type Jobs = typeof sdk.jobs;

/** As a driver of the cluster. */
function joined<T>(options: ConnectOptions, use: (jobs: Jobs) => Promise<T>): Promise<T> {
  return asDriver(options, async () => use((await import("../sdk/index.ts")).jobs));
}

function submit(command: readonly string[], { id, workingDir, env, quota, wait, ...options }: SubmitOptions): Promise<void> {
  return joined(options, async (jobs) => {
    const job = await jobs.submit({ command, id, workingDir, envVars: env, quota });
    if (!wait) return print(job);
    process.stderr.write(`job ${job}\n`);
    await follow(jobs, job);
    const { state, reason = "" } = await jobs.status(job);
    process.stderr.write(`job ${job} ${state}${reason === "" ? "" : `: ${reason}`}\n`);
    if (state !== "SUCCEEDED") throw new FoundWrong();
  });
}

async function follow(jobs: Jobs, id: string): Promise<void> {
  for (let from = 0; ; ) {
    const { state } = await jobs.status(id);
    const { text, end } = await jobs.logs(id, from);
    process.stdout.write(text);
    from = end;
    if (state !== "RUNNING" && state !== "PENDING") return;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

function status(id: string, options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  return joined(options, async (jobs) => {
    const job = await jobs.status(id);
    if (options.json) printJson(job);
    else print(table(COLUMNS, [rowOf(job)]));
  });
}

function logs(id: string, options: ConnectOptions & { readonly follow?: boolean }): Promise<void> {
  return joined(options, async (jobs) => {
    if (options.follow) await follow(jobs, id);
    else process.stdout.write((await jobs.logs(id)).text);
  });
}

function stop(id: string, options: ConnectOptions): Promise<void> {
  return joined(options, async (jobs) => {
    if (!(await jobs.stop(id))) throw new TroupeError(`job ${id} has ended already`);
    print(`job ${id} is being ended`);
  });
}

function list(options: ConnectOptions & { readonly json?: boolean }): Promise<void> {
  return joined(options, async (jobs) => {
    const found = await jobs.list();
    if (options.json) printJson(found);
    else print(found.length === 0 ? "no jobs were submitted" : table(COLUMNS, found.map(rowOf)));
  });
}

function rowOf(job: sdk.SubmittedJob): Record<string, unknown> {
  const { submittedAt, endedAt, command } = job;
  return { ...job, submittedAt: submittedAt.toISOString(), endedAt: endedAt?.toISOString(), command: command.join(" ") };
}
