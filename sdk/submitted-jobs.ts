// jobs: programs that run on the cluster, by a supervisor of their own, whoever submitted them may leave.
//
// The supervisor is a detached actor: it starts the program on its node, in the folder that was sent along, keeps what it
// prints, and writes down in kv how it ended. What the actor can't say any more, because its node is gone, is read from
// there.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { ActorError, InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import { getActor, kill, ready } from "./actors.ts";
import { kv } from "./kv.ts";
import { get } from "./objects.ts";
import { fromByte, type Printed, PrintedLog, textOf } from "./printed-log.ts";
import { parseQuota, type Quota, QUOTA_VARIABLE } from "./quota.ts";
import { remote } from "./remote.ts";
import type { RuntimeEnv } from "./runtime-env.ts";
import type { ActorHandle } from "./types.ts";

export interface JobRequest {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** Default a random one. */
  readonly id?: string | undefined;
  /** A folder of this machine that goes along; the program starts in its copy. */
  readonly workingDir?: string | undefined;
  readonly envVars?: Readonly<Record<string, string>> | undefined;
  /** CPUs that it holds itself. Default 0: its tasks hold theirs. */
  readonly numCpus?: number | undefined;
  /** What it may hold in the cluster at once, each of its drivers: see InitOptions. */
  readonly quota?: Quota | undefined;
}

export interface SubmittedJob {
  readonly id: string;
  readonly command: readonly string[];
  readonly state: "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "STOPPED";
  readonly submittedAt: Date;
  readonly startedAt?: Date | undefined;
  readonly endedAt?: Date | undefined;
  readonly exitCode?: number | undefined;
  /** Why it failed, or could not be started. */
  readonly reason?: string | undefined;
}

const NAMESPACE = "troupe-jobs";
const LOG_BYTES = 8 * 1024 * 1024;
/** Of a job that has ended. */
const KEPT_LOG_BYTES = 512 * 1024;
const STOP_GRACE_MS = 5000;
const ID = /^[\w.-]{1,100}$/;

const keyOf = (id: string): string => `job/state/${id}`;
const logKeyOf = (id: string): string => `job/log/${id}`;

/** The actor that runs one program. */
export class JobSupervisor {
  readonly #id: string;
  readonly #child: ChildProcess;
  readonly #output = new PrintedLog(LOG_BYTES);
  #stopped = false;
  readonly #beginning: Promise<void>;

  constructor(id: string, [program, ...args]: readonly string[], quota?: Quota) {
    this.#id = id;
    // Its drivers find the node that it runs on.
    const bound = quota === undefined ? {} : { [QUOTA_VARIABLE]: JSON.stringify(quota) };
    const env = { ...process.env, TROUPE_ADDRESS: process.env.TROUPE_ADDRESS ?? "auto", ...bound };
    this.#child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    this.#beginning = this.#begun();
    this.#child.stdout?.on("data", (bytes: Buffer) => this.#output.add(bytes));
    this.#child.stderr?.on("data", (bytes: Buffer) => this.#output.add(bytes));
    let failure: string | undefined;
    this.#child.once("error", (error) => (failure = error.message));
    this.#child.once("close", (code, signal) => {
      const state = this.#stopped ? "STOPPED" : code === 0 ? "SUCCEEDED" : "FAILED";
      const reason = state === "FAILED" ? (failure ?? `it ended with ${code ?? signal}`) : undefined;
      void this.#ended({ state, reason, exitCode: code ?? undefined });
    });
  }

  /** What was printed from a byte on, and where the next one will be. */
  async logs(from: number): Promise<{ readonly text: string; readonly end: number }> {
    return textOf(this.#output.from(from));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#signal("SIGTERM");
    setTimeout(() => this.#signal("SIGKILL"), STOP_GRACE_MS).unref();
  }

  #signal(signal: NodeJS.Signals): void {
    try {
      if (this.#child.pid !== undefined && this.#child.exitCode === null) process.kill(-this.#child.pid, signal);
    } catch {
      // It has ended meanwhile.
    }
  }

  async #begun(): Promise<void> {
    const job = await kv.get<SubmittedJob>(keyOf(this.#id));
    if (job?.state === "PENDING") await kv.cas(keyOf(this.#id), job, { ...job, state: "RUNNING", startedAt: new Date() });
  }

  async #ended(end: Pick<SubmittedJob, "state" | "reason" | "exitCode">): Promise<void> {
    await this.#beginning;
    const job = (await kv.get<SubmittedJob>(keyOf(this.#id))) as SubmittedJob;
    await kv.batch([
      { type: "set", key: logKeyOf(this.#id), value: this.#output.last(KEPT_LOG_BYTES) },
      { type: "set", key: keyOf(this.#id), value: { ...job, ...end, endedAt: new Date() } },
    ]);
    // Nobody needs it any more.
    await kill(await getActor(this.#id, { namespace: NAMESPACE }));
  }
}

const Supervisor = remote(JobSupervisor, { numCpus: 0 });

/** Starts a program on the cluster; gives its id when it runs. @throws RuntimeEnvSetupError, NameTakenError. */
export async function submitJob({
  command,
  id = `job-${randomBytes(4).toString("hex")}`,
  ...request
}: JobRequest): Promise<string> {
  if (!Array.isArray(command) || command.length === 0 || !command.every((one) => typeof one === "string")) {
    throw new InvalidArgumentError("jobs.submit: command must be a list of texts: the program and its arguments");
  }
  if (!ID.test(id))
    throw new InvalidArgumentError(`jobs.submit: the id must be letters, digits, "_", "-" and ".", not ${id}`);
  if (request.quota !== undefined) parseQuota("jobs.submit: quota", request.quota);
  const job: SubmittedJob = { id, command: [...command], state: "PENDING", submittedAt: new Date() };
  if (!(await kv.cas(keyOf(id), undefined, job)))
    throw new InvalidArgumentError(`jobs.submit: there is a job ${id} already`);
  const { workingDir, envVars, numCpus = 0, quota } = request;
  const runtimeEnv: RuntimeEnv = { workingDir, envVars };
  const isPlain = workingDir === undefined && envVars === undefined;
  const options = {
    name: id,
    namespace: NAMESPACE,
    lifetime: "detached" as const,
    numCpus,
    ...(isPlain ? {} : { runtimeEnv }),
  };
  const supervisor = Supervisor.options(options).remote(id, job.command, quota);
  try {
    await ready(supervisor);
  } catch (error) {
    // A program that ended at once has taken its supervisor along.
    if ((await jobStatus(id)).state !== "PENDING") return id;
    const reason = error instanceof Error ? error.message : String(error);
    await kv.set(keyOf(id), { ...job, state: "FAILED", reason, endedAt: new Date() } satisfies SubmittedJob);
    throw error;
  }
  return id;
}

/** @throws NotFoundError. */
export async function jobStatus(id: string): Promise<SubmittedJob> {
  const job = await kv.get<SubmittedJob>(keyOf(id));
  if (job === undefined) throw new NotFoundError(`job ${id} is not known`);
  if (job.state !== "RUNNING" || (await supervisorOf(id)) !== undefined) return job;
  // Its end may just have been written down.
  const now = (await kv.get<SubmittedJob>(keyOf(id))) as SubmittedJob;
  return now.state === "RUNNING" ? { ...now, state: "FAILED", reason: "its supervisor, or the node it ran on, was lost" } : now;
}

/** All jobs that were submitted, oldest first. */
export async function listJobs(): Promise<SubmittedJob[]> {
  const found: SubmittedJob[] = [];
  for await (const [, job] of kv.scan<SubmittedJob>(keyOf(""))) found.push(job);
  return found.sort((one, other) => one.submittedAt.getTime() - other.submittedAt.getTime());
}

/** What it printed, from a byte on; `end` is where the next one will be. @throws NotFoundError. */
export async function jobLogs(id: string, from = 0): Promise<{ readonly text: string; readonly end: number }> {
  await jobStatus(id);
  const supervisor = await supervisorOf(id);
  if (supervisor !== undefined) {
    try {
      return await get(supervisor.logs.remote(from));
    } catch {
      // It ended meanwhile: what it kept is read.
    }
  }
  const kept = await kv.get<Printed>(logKeyOf(id));
  return kept === undefined ? { text: "", end: from } : textOf(fromByte(kept, from));
}

/** Ends the program: SIGTERM, after 5 s SIGKILL. False when it had ended already. */
export async function stopJob(id: string): Promise<boolean> {
  const { state } = await jobStatus(id);
  const supervisor = state === "RUNNING" || state === "PENDING" ? await supervisorOf(id) : undefined;
  if (supervisor === undefined) return false;
  try {
    await get(supervisor.stop.remote());
  } catch (error) {
    // A program that ends at the first signal takes its supervisor along before that has answered.
    if (!(error instanceof ActorError)) throw error;
  }
  return true;
}

async function supervisorOf(id: string): Promise<ActorHandle<JobSupervisor> | undefined> {
  try {
    return await getActor<JobSupervisor>(id, { namespace: NAMESPACE });
  } catch (error) {
    if (error instanceof NotFoundError) return undefined;
    throw error;
  }
}

export const jobs = { submit: submitJob, status: jobStatus, list: listJobs, logs: jobLogs, stop: stopJob } as const;
