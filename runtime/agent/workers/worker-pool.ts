// The agent's worker processes: started, watched as their parent, and told of their true end.
//
// The agent is the parent of every worker, so it knows exactly how each died (exit code, signal, last lines of stderr) the
// moment the kernel does. One that does not report in time is killed, and one that is silent: whose native heartbeat, which
// goes on while its loop is blocked, has stopped. A stopped or wedged process would otherwise keep its tasks for ever.

import { Silence } from "../../core/index.ts";
import type { Launch, WorkerEnvironment } from "../../environment/index.ts";
import { OUT_OF_MEMORY } from "../../errors.ts";
import type { NodeMemory } from "./memory-watch.ts";
import type { WorkerReport } from "../config.ts";
import type { ChildExit, ChildProcess, Clock, Random, Spawner, Timer } from "../../seams.ts";
import type { Channel, DeathCause, LogLines } from "../../transport/index.ts";

export const START_TIMEOUT_MS = 60_000;
/** Default bound of a worker's silence. Hearts beat every half second. */
export const SILENCE_MS = 5000;
const LOOK_EVERY_MS = 1000;
/** A setupHook may fetch what all tasks need. */
const HOOK_TIMEOUT_MS = 600_000;
/** A worker whose channel is closed ends itself; this long it is waited for. */
const LEAVE_TIMEOUT_MS = 2000;

export interface PooledWorker {
  readonly process: string;
  readonly child: ChildProcess;
  readonly environment: string;
  readonly startedAt: number;
  channel: Channel | undefined;
  /** It has reported, and its setupHook has run. */
  isReady: boolean;
  /** Why it can't get ready, in its own words. */
  setupFailure: string;
  jobId: string;
  /** Why the agent ends it, when it does. */
  endReason: string;
  /** The same as data; "" while nobody ends it. */
  endKind: string;
  /** Clock time since when it has its lease, or its actor; of its start before that. */
  worksSince: number;
  /** Of its lease, or the actor that it became. */
  gpus: readonly number[];
  /** Client slot in the object store. */
  storeClient: number | undefined;
  actor: string | undefined;
  /** Its actor outlives the job. */
  detachedActor: boolean;
  /** Tag of the actor whose code ran when it left; 0 when that is not known. */
  lastRan: number;
  /** The worker whose process it is a thread of; "" for one with a process of its own. */
  readonly host: string;
}

export interface WorkerFacts {
  readonly id: string;
  readonly pid: number;
  readonly nodeId: string;
  readonly jobId: string;
  readonly environment: string;
  /** The worker whose process it is a thread of; "" for one with a process of its own. */
  readonly threadOf: string;
  readonly state: "STARTING" | "IDLE" | "LEASED" | "ACTOR";
}

export interface WorkerPoolParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly spawner: Spawner;
  readonly nodeId: string;
  /** What every worker's configuration has in common. */
  readonly config: (process: string, environment: WorkerEnvironment | undefined) => unknown;
  /** How workers of an environment are started; undefined for one that is no longer kept. */
  readonly launchOf: (environment: string) => Launch | undefined;
  /** A worker that is silent for so long is killed; 0: none is, e.g. while a debugger stops them. */
  readonly silenceMs: number;
  /** Of a client of the store: milliseconds since its last heartbeat, and the tag of what it runs. */
  readonly health: (storeClient: number) => { readonly beatAgeMs: number; readonly runs: number };
  readonly memory: NodeMemory | undefined;
  readonly started: (pid: number) => void;
  /** It can be given work. */
  readonly ready: (worker: PooledWorker) => void;
  readonly died: (worker: PooledWorker, cause: DeathCause) => void;
  readonly logs: (lines: LogLines) => void;
}

export class WorkerPool {
  readonly #parts: WorkerPoolParts;
  readonly #workers = new Map<string, PooledWorker>();
  readonly #timers = new Map<string, Timer>();
  readonly #silence: Silence;
  #lastLook = Number.NEGATIVE_INFINITY;
  #looks: Timer | undefined;
  /** As they were when the last worker was killed. */
  #kernelKills: number;

  constructor(parts: WorkerPoolParts) {
    this.#parts = parts;
    this.#kernelKills = parts.memory?.kernelKills() ?? 0;
    this.#silence = new Silence({ limitMs: parts.silenceMs, lookEveryMs: LOOK_EVERY_MS });
    if (parts.silenceMs > 0) this.#scheduleLook();
  }

  get(process: string): PooledWorker | undefined {
    return this.#workers.get(process);
  }

  hosts(process: string, actor: string, detached: boolean): void {
    const worker = this.#workers.get(process);
    if (worker !== undefined) Object.assign(worker, { actor, detachedActor: detached });
  }

  all(): PooledWorker[] {
    return [...this.#workers.values()];
  }

  /** For the state API. */
  rows(leased: (process: string) => boolean): WorkerFacts[] {
    return this.all().map(({ process, child, channel, actor, jobId, environment, host }) => ({
      id: process, pid: child.pid, nodeId: this.#parts.nodeId, jobId, environment, threadOf: host,
      state: channel === undefined ? "STARTING" : actor !== undefined ? "ACTOR" : leased(process) ? "LEASED" : "IDLE",
    }));
  }

  /** Starts a process; its end is reported through `died`, also when it never came up. */
  start(jobId: string, environment: string): PooledWorker {
    const process = this.#parts.random.hex(8);
    const launch = environment === "" ? undefined : this.#parts.launchOf(environment);
    if (environment !== "" && launch === undefined) return this.#startNone(process, jobId, environment);
    const child = this.#parts.spawner.spawn({
      program: "worker",
      config: this.#parts.config(process, launch?.worker),
      environment: launch?.envVars,
      nodeArgs: launch?.nodeArgs,
      folder: launch?.folder,
      onReady: (said) => this.#said(process, said),
      onLine: (stream, line) => this.#line(process, stream === "stderr", line),
      onExit: (exit) => this.#exited(process, exit),
    });
    return this.#track(process, child, jobId, environment);
  }

  /** A worker that is a thread of the process of another. It is ready once it has reported. */
  startThread(hostId: string, heapLimit: number): string {
    const host = this.#workers.get(hostId) as PooledWorker;
    const process = this.#parts.random.hex(8);
    const config = JSON.stringify(this.#parts.config(process, this.#parts.launchOf(host.environment)?.worker));
    const kill = () => host.channel?.send("endThread", { process });
    this.#track(process, { pid: host.child.pid, kill, signal: () => {} }, host.jobId, "", hostId);
    host.channel?.send("startThread", { process, config, heapLimit });
    return process;
  }

  /** A worker that was started before the agent was there to do it. */
  adopt(process: string, child: ChildProcess): PooledWorker {
    return this.#track(process, child, "", "");
  }

  /** For children that were started elsewhere: their output and their end. */
  lineOf(process: string, stream: "stdout" | "stderr", line: string): void {
    this.#line(process, stream === "stderr", line);
  }
  exitOf(process: string, exit: ChildExit): void {
    this.#exited(process, exit);
  }

  reported(process: string, channel: Channel, storeClient: number): void {
    const worker = this.#workers.get(process);
    if (worker === undefined || worker.channel !== undefined) return;
    this.#cancelTimer(process);
    worker.channel = channel;
    worker.storeClient = storeClient;
    this.#silence.heard(process);
    if (this.#parts.launchOf(worker.environment)?.worker.hasHook !== true) return this.#ready(worker);
    this.#killAfter(process, HOOK_TIMEOUT_MS, `its setupHook did not end within ${HOOK_TIMEOUT_MS} ms`);
  }

  /** It is about to be no client of the store any more. */
  leavesStore(process: string): void {
    const worker = this.#workers.get(process);
    if (worker !== undefined) this.#leavesStore(worker);
  }

  /** Its channel is closed: it has ended, or is about to. */
  left(process: string): void {
    if (!this.#workers.has(process)) return;
    this.#silence.forget(process);
    this.#killAfter(process, LEAVE_TIMEOUT_MS, "its connection to the agent broke and it did not end");
  }

  /** Ends a worker abruptly; `reason` becomes part of its cause of death, `kind` is the reason as data. */
  kill(process: string, reason: string, kind = "killed"): void {
    const worker = this.#workers.get(process);
    if (worker === undefined) return;
    if (worker.endReason === "") worker.endKind = kind;
    worker.endReason ||= reason;
    worker.child.kill();
  }

  close(reason: string): void {
    this.#looks?.cancel();
    for (const worker of this.#workers.values()) this.kill(worker.process, reason);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** Never in another environment than it was asked for: its job has ended meanwhile. */
  #startNone(process: string, jobId: string, environment: string): PooledWorker {
    const exit = { exitCode: undefined, signal: undefined, stderrTail: ["its environment is no longer kept"] };
    this.#parts.clock.soon(() => this.#exited(process, exit));
    return this.#track(process, { pid: 0, kill: () => {}, signal: () => {} }, jobId, environment);
  }

  #track(process: string, child: ChildProcess, jobId: string, environment: string, host = ""): PooledWorker {
    const worker: PooledWorker = {
      process,
      child,
      environment,
      jobId,
      startedAt: this.#parts.clock.now(),
      channel: undefined,
      isReady: false,
      setupFailure: "",
      endReason: "",
      endKind: "",
      worksSince: this.#parts.clock.now(), gpus: [],
      storeClient: undefined,
      actor: undefined,
      detachedActor: false,
      lastRan: 0,
      host,
    };
    this.#workers.set(process, worker);
    if (host === "") this.#parts.started(child.pid);
    this.#killAfter(process, START_TIMEOUT_MS, `it did not start within ${START_TIMEOUT_MS} ms`);
    return worker;
  }

  #killAfter(process: string, delayMs: number, reason: string): void {
    this.#cancelTimer(process);
    this.#timers.set(process, this.#parts.clock.after(delayMs, () => this.kill(process, reason)));
  }

  #cancelTimer(process: string): void {
    this.#timers.get(process)?.cancel();
    this.#timers.delete(process);
  }

  #scheduleLook(): void {
    this.#looks = this.#parts.clock.after(LOOK_EVERY_MS, () => {
      this.#look();
      this.#scheduleLook();
    });
  }

  #look(): void {
    const now = this.#parts.clock.now();
    for (const { process, storeClient } of this.#workers.values()) {
      const hasBeaten = storeClient !== undefined && this.#parts.health(storeClient).beatAgeMs < now - this.#lastLook;
      if (hasBeaten) this.#silence.heard(process);
    }
    this.#lastLook = now;
    for (const { subject, silentMs } of this.#silence.look(now)) {
      this.kill(subject, `it did not answer for ${Math.round(silentMs / 1000)} s: its process was stopped or is stuck`);
    }
  }

  /** One with a setupHook says how that went. */
  #said(process: string, said: WorkerReport): void {
    const worker = this.#workers.get(process);
    if (worker === undefined || worker.isReady) return;
    if (said.setupFailure !== undefined) worker.setupFailure = said.setupFailure;
    else if (worker.channel !== undefined) this.#ready(worker);
  }

  #ready(worker: PooledWorker): void {
    this.#cancelTimer(worker.process);
    worker.isReady = true;
    this.#parts.ready(worker);
  }

  #exited(process: string, exit: ChildExit): void {
    const worker = this.#workers.get(process);
    if (worker === undefined) return;
    this.#workers.delete(process);
    this.#silence.forget(process);
    this.#cancelTimer(process);
    // Its end may be known before that of its channel.
    this.#leavesStore(worker);
    if (exit.signal === "SIGKILL" && worker.endReason === "" && this.#hasKernelKilled()) {
      Object.assign(worker, { endReason: "the kernel had no memory left for it", endKind: OUT_OF_MEMORY });
    }
    this.#parts.died(worker, causeOf(worker, exit));
  }

  /** What it said last that it runs. */
  #leavesStore(worker: PooledWorker): void {
    if (worker.storeClient === undefined) return;
    worker.lastRan = this.#parts.health(worker.storeClient).runs;
    worker.storeClient = undefined;
  }

  /** Since it was asked last: the kernel counts, but does not say whom. */
  #hasKernelKilled(): boolean {
    const before = this.#kernelKills;
    this.#kernelKills = this.#parts.memory?.kernelKills() ?? 0;
    return this.#kernelKills > before;
  }

  #line(process: string, stderr: boolean, line: string): void {
    const worker = this.#workers.get(process);
    if (worker === undefined) return;
    const { pid } = worker.child;
    this.#parts.logs({ process, pid, jobId: worker.jobId, stderr, lines: [line], node: this.#parts.nodeId });
  }
}

/** How it died, in words and as data. */
export function causeOf(worker: PooledWorker, exit: ChildExit): DeathCause {
  const { exitCode, signal, stderrTail } = exit;
  const how = signal === undefined ? `exited with code ${exitCode ?? -1}` : `was ended by ${signal}`;
  const heap = (signal === "SIGABRT" || worker.host !== "") && stderrTail.some((line) => /heap out of memory/.test(line));
  const why = worker.endReason !== "" ? ` because ${worker.endReason}` : heap ? ": its heap was full" : "";
  // The last words of a full heap are addresses.
  const isTold = heap || stderrTail.length === 0;
  const lastLine = isTold ? "" : `; its last line on stderr: ${stderrTail[stderrTail.length - 1]}`;
  const reason =
    worker.channel === undefined ? "never-started"
      : heap ? OUT_OF_MEMORY
        : worker.endReason !== "" ? worker.endKind : signal === undefined ? "exited" : "signaled";
  return {
    reason, exitCode: exitCode ?? -1, signal: signal ?? "", stderrTail: [...stderrTail],
    text: `${worker.host === "" ? "worker process" : "thread of process"} ${worker.child.pid} ${how}${why}${lastLine}`,
  };
}
