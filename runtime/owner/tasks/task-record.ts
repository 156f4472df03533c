// One submitted task at its owner, and the template it shares with all calls of the same function and options.

import type { CapturedCode } from "../../closure/index.ts";
import { newTaskLife, type RetryDelays, type TaskLife } from "../../core/index.ts";
import type { LeasePool, PooledLease, PooledTask } from "../../core/index.ts";
import type { BoundArg, Chain, Code, Lifetime, Strategy } from "../../transport/index.ts";
import { claimTag, type ClaimPage } from "../../store/index.ts";
import type { EnvironmentUse } from "../environments.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Attempt } from "../context.ts";
import type { Limit } from "./limits.ts";
import type { Link } from "../links.ts";
import type { LastHeartbeat } from "./heartbeats.ts";

/** What all calls of one function with one set of options have in common. */
export interface TaskTemplate {
  readonly id: number;
  readonly code: CapturedCode;
  readonly name: string;
  readonly numReturns: number;
  /** Of a generator: items that may be yielded and not taken; 0 for what is none. */
  readonly streamAhead: number;
  /** Set for actor methods. */
  readonly method: string;
  /** What its results are kept for, beyond their owner. */
  readonly scope: Lifetime | undefined;
  readonly maxRetries: number;
  /** Which errors of user code use up retries like a crash; undefined: none. */
  readonly retryOn: ((error: unknown) => boolean) | undefined;
  readonly retryDelays: RetryDelays;
  /** Calls of it after which a worker ends; 0: none. */
  readonly maxCalls: number;
  /** Milliseconds for the whole call, retries included. */
  readonly timeoutMs: number | undefined;
  /** Milliseconds for each attempt, from its start. */
  readonly attemptTimeoutMs: number | undefined;
  /** Milliseconds that an attempt may go without a heartbeat. */
  readonly heartbeatTimeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly scheduling: SchedulingClass;
  /** Moving average of the time in user code; undefined before the first result. */
  expectedMicros: number | undefined;
  /** For warnings (traps.ts). */
  calls: number;
  ended: number;
  site: string | undefined;
}

export interface TaskLease extends PooledLease<TaskRecord> {
  readonly link: Link;
  readonly worker: string;
  readonly node: string;
  /** Undefined for a worker of another machine: its agent tells what it shows when the worker dies. */
  readonly page: ClaimPage | undefined;
  /** Number of the page at the worker's agent. */
  readonly claimPage: number;
  readonly salt: number;
  nextSlot: number;
}

/** Tasks that need the same resources in the same environment share leases. */
export interface SchedulingClass {
  readonly id: number;
  /** Fixed point, 1/10000. */
  readonly resources: Record<string, number>;
  readonly strategy: Strategy;
  readonly infeasibleGraceMs: number;
  readonly environment: EnvironmentUse;
  /** Of a function that uses it, for messages to people. */
  readonly name: string;
  readonly pool: LeasePool<TaskRecord, TaskLease>;
  /** A lease may run un-started children of its suspended tasks: false for exclusive work. */
  readonly shareable: boolean;
}

export class TaskRecord implements PooledTask {
  readonly number: number;
  readonly template: TaskTemplate;
  readonly life: TaskLife;
  readonly args: Uint8Array;
  readonly codes: Code[];
  readonly bound: BoundArg[];
  readonly results: readonly ObjectEntry[];
  /** Entries kept alive until the reply is handled: arguments and refs inside them. */
  readonly kept: ObjectEntry[];
  readonly chain: Chain;
  /** The task attempt of this process that submitted it: who may help with it while it waits. */
  readonly parent: Attempt | undefined;
  readonly limit: Limit | undefined;
  /** The template's, or near its arguments. */
  scheduling: SchedulingClass;
  unresolved = 0;
  /** How often arguments were not where they were said to lie. */
  losses = 0;
  lease: TaskLease | undefined;
  slot = 0;
  heartbeat: LastHeartbeat | undefined;
  /** Hears what its code tells while it runs. */
  onNote: ((bytes: Uint8Array) => void) | undefined;
  /** When the delay before its next attempt ends. */
  retryAt = 0;
  chargedMicros = 0;

  constructor(
    number: number,
    template: TaskTemplate,
    args: { bytes: Uint8Array; codes: Code[] },
    bound: BoundArg[],
    results: readonly ObjectEntry[],
    kept: ObjectEntry[],
    chain: Chain,
    parent: Attempt | undefined,
    limit: Limit | undefined,
  ) {
    this.number = number;
    this.template = template;
    this.scheduling = template.scheduling;
    this.life = newTaskLife(template.maxRetries);
    this.args = args.bytes;
    this.codes = args.codes;
    this.bound = bound;
    this.results = results;
    this.kept = kept;
    this.chain = chain;
    this.parent = parent;
    this.limit = limit;
  }

  /** Milliseconds of the clock. */
  get submittedAt(): number {
    return this.results[0].madeAt;
  }

  get expectedMicros(): number | undefined {
    return this.template.expectedMicros;
  }
}

/** Of a pushed task on its lease's claim page. */
export function tagOf(task: TaskRecord, lease: TaskLease): number {
  return claimTag(task.number, lease.salt);
}

/** Weight of the newest measurement in the moving average. */
const NEWEST_WEIGHT = 0.2;

export function measured(template: TaskTemplate, micros: number): void {
  const before = template.expectedMicros;
  // A task that suddenly takes longer counts in full, so that nothing queues behind it for an average's sake.
  template.expectedMicros = before === undefined || micros > before * 4 ? micros : before + (micros - before) * NEWEST_WEIGHT;
}
