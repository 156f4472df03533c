// Options of tasks, actors and calls: their types, defaults and checks at the door.
//
// Every option is checked where it is given; one clear error names the option, the value and what is allowed. An option that this
// release does not carry out is refused, never ignored.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { RETRY_ALL } from "../runtime/owner/index.ts";
import { GROUP_STRATEGIES, parseResources, parseSelectors } from "../scheduler/index.ts";
import { warn } from "../runtime/warnings.ts";
import { bytesOf } from "./byte-sizes.ts";
import {
  abortSignal, amount, bool, type Check, type Checks, checkOptions, limit, object, oneOf, strings, text, whole,
} from "../runtime/option-checks.ts";
import type { GroupOptions } from "./placement-groups.ts";
import { checkRuntimeEnv, type RuntimeEnv } from "./runtime-env.ts";
import { isScope, type Scope } from "./scopes.ts";
import { checkFits, type SchedulingStrategy } from "./strategies.ts";

type ErrorClass = abstract new (...args: never[]) => unknown;
/** Which errors of user code are retried like a crash. */
export type RetryExceptions = boolean | readonly ErrorClass[] | ((error: unknown) => boolean);

export interface ResourceOptions {
  /** CPUs held while it runs; fractions from 0.0001. Default 1 for tasks; actors need 1 to be placed and hold 0. */
  numCpus?: number | undefined;
  numGpus?: number | undefined;
  /** Bytes, for scheduling only. A number or "512MiB". */
  memory?: number | string | undefined;
  /** Custom resources by name. */
  resources?: Readonly<Record<string, number>> | undefined;
  /** Node labels it needs: `v`, `!v`, `in(a,b)`, `!in(a,b)`. */
  labelSelector?: Readonly<Record<string, string>> | undefined;
  schedulingStrategy?: SchedulingStrategy | undefined;
  /** False: wait for nodes that can hold it; default: fail with InfeasibleError after `infeasibleGraceMs`. */
  throwOnInfeasible?: boolean | undefined;
  /** Default 30000. */
  infeasibleGraceMs?: number | undefined;
  /** What it runs in, beside what it inherits: see RuntimeEnv. */
  runtimeEnv?: RuntimeEnv | undefined;
}

export interface TaskOptions extends ResourceOptions {
  /** For messages and lists; default the function's name. */
  name?: string | undefined;
  /** Refs that `.remote()` returns; the function then returns an array. Default 1. */
  numReturns?: number | undefined;
  /** Of a generator function: items that may be yielded and not yet taken; then it waits. Default 16. */
  streamBackpressure?: number | undefined;
  /** Further attempts after a crash of worker or node; -1 endless. Default 3. */
  maxRetries?: number | undefined;
  /** Default false. */
  retryExceptions?: RetryExceptions | undefined;
  /** Errors that are not retried although `retryExceptions` names them. */
  nonRetryable?: readonly ErrorClass[] | ((error: unknown) => boolean) | undefined;
  /** Milliseconds before the first further attempt. Default 0; each next one waits `retryBackoff` (2) times as long. */
  retryDelayMs?: number | undefined;
  retryBackoff?: number | undefined;
  maxRetryDelayMs?: number | undefined;
  /** Milliseconds for the whole call, retries included, and for all that it submits; then TaskTimeoutError. */
  timeoutMs?: number | undefined;
  /** Milliseconds for one attempt; then TaskTimeoutError, which `retryExceptions` may retry. */
  attemptTimeoutMs?: number | undefined;
  /** Between two heartbeats (getRuntimeContext().heartbeat()): an attempt that is silent for longer is lost like in a crash. */
  heartbeatTimeoutMs?: number | undefined;
  /** Cancels the call when it aborts. */
  signal?: AbortSignal | undefined;
  /** Its results live until that is freed, whatever becomes of this process: see `scope()`. */
  scope?: Scope | undefined;
  /** Never shares its worker with another task, not even with its own children. */
  exclusive?: boolean | undefined;
  /** A worker ends after so many calls of this function, and takes along what they leaked. Default 0: never. */
  maxCalls?: number | undefined;
  /** How the function travels. Default 'auto': by reference where it can be imported, else by value. */
  capture?: "auto" | "value" | "reference" | undefined;
}

export interface ActorOptions extends ResourceOptions {
  /** Unique in its namespace; `getActor(name)` finds it. */
  name?: string | undefined;
  namespace?: string | undefined;
  /** 'detached' outlives its creator until it is killed. Default 'job'. */
  lifetime?: "job" | "detached" | undefined;
  /** With a name: the living actor of that name, if there is one. */
  getIfExists?: boolean | undefined;
  /** Restarts after crashes; -1 endless. Default 0. */
  maxRestarts?: number | undefined;
  /** Calls that are sent again after a crash. Default 0: a call runs at most once. */
  maxTaskRetries?: number | undefined;
  retryExceptions?: RetryExceptions | undefined;
  /** Calls that may run at once. Default 1, also for async methods. */
  maxConcurrency?: number | undefined;
  /** Calls of one process that may be pending; then PendingCallsLimitExceededError. -1: a million. */
  maxPendingCalls?: number | undefined;
  /** Options by method. */
  methods?: Readonly<Record<string, MethodOptions>> | undefined;
  /** Named groups of methods and how many calls of each may run at once, beside the `maxConcurrency` of all other methods. */
  concurrencyGroups?: Readonly<Record<string, number>> | undefined;
  /** Calls start as their arguments come, not in the order of their caller. Default false. */
  allowOutOfOrder?: boolean | undefined;
  /** Calls made within one of its calls run beside it, beyond `maxConcurrency`. Default false: waiting for one is an error. */
  reentrant?: boolean | undefined;
  /**
   * 'shared': in one process with up to 1,000 others, each with its own queue, order and failures; it needs and holds only what
   * is asked for. 'thread': in a thread with a V8 heap of its own. Default 'process': one of its own.
   */
  isolation?: "process" | "thread" | "shared" | undefined;
  /** Bytes of heap for an actor in a thread, which ends with more. A number or "512MiB". Default: V8's. */
  heapLimit?: number | string | undefined;
  capture?: "auto" | "value" | "reference" | undefined;
}

/** Options of all calls of a method. */
export type MethodOptions = Omit<CallOptions, "signal">;

export interface CallOptions {
  name?: string | undefined;
  numReturns?: number | undefined;
  /** Of a generator method: items that may be yielded and not yet taken; then it waits. Default 16. */
  streamBackpressure?: number | undefined;
  maxTaskRetries?: number | undefined;
  retryExceptions?: RetryExceptions | undefined;
  /** Milliseconds for the whole call, and for all that it submits; then TaskTimeoutError. */
  timeoutMs?: number | undefined;
  /** Cancels the call when it aborts. */
  signal?: AbortSignal | undefined;
  /** One of the actor's concurrency groups. Default: the method's own, else the actor's `maxConcurrency`. */
  concurrencyGroup?: string | undefined;
}

/** Items of a stream wait in memory. */
const AHEAD_MAX = 1_000_000;

// -- checks ------------------------------------------------------------------------------------------------------------

export const bytes: Check = (value) => (bytesOf(value) === undefined ? 'bytes as a number, or text such as "512MiB"' : undefined);
/** The smallest amount that is counted. */
const FRACTION = 0.0001;
export const fraction: Check = (value) =>
  amount(value) ?? (value === 0 || (value as number) >= FRACTION ? undefined : `0, or at least ${FRACTION}`);
/** Who has one whole has whole ones. */
const gpus: Check = (value) =>
  fraction(value) === undefined && ((value as number) < 1 || Number.isInteger(value))
    ? undefined
    : `a fraction of one from ${FRACTION}, or a whole number of 0 or more`;
const strategy: Check = (value) => (
  value === "default" || value === "spread" || isMade(value) ? undefined : "'default', 'spread', onNode(id) or inGroup(group)"
);
function isMade(value: unknown): boolean {
  if (object(value) !== undefined) return false;
  const { kind, node, group } = value as Partial<Record<"kind" | "node" | "group", unknown>>;
  return (kind === "node" && text(node) === undefined) || (kind === "group" && text(group) === undefined);
}
export const retryExceptions: Check = (value) =>
  typeof value === "boolean" ||
  typeof value === "function" ||
  (Array.isArray(value) && value.every((one) => typeof one === "function"))
    ? undefined
    : "true, false, a list of error classes, or a function of the error";
const nonRetryable: Check = (value) =>
  typeof value !== "boolean" && retryExceptions(value) === undefined
    ? undefined
    : "a list of error classes, or a function of the error";
const selector: Check = (value) => strings(value) ?? ("text" in parseSelectors(value as Record<string, string>)
  ? "an object of label names, each with v, !v, in(a,b) or !in(a,b)"
  : undefined);

const atOnce = whole(1, 10_000);
const groups: Check = (value) =>
  object(value) === undefined && Object.entries(value as object).every(([name, slots]) => name !== "" && !atOnce(slots))
    ? undefined
    : "an object of names, and for each how many calls may run at once";

const RESOURCE_CHECKS: Record<string, Check> = {
  numCpus: fraction, numGpus: gpus, memory: bytes, resources: object, labelSelector: selector, schedulingStrategy: strategy,
  throwOnInfeasible: bool, infeasibleGraceMs: amount, runtimeEnv: object,
};
const CALL_CHECKS: Record<string, Check> = {
  name: text, numReturns: whole(0, 10_000), streamBackpressure: whole(1, AHEAD_MAX), maxTaskRetries: whole(-1),
  retryExceptions, timeoutMs: limit, signal: abortSignal, concurrencyGroup: text,
};
const { signal: _ofOneCall, ...METHOD_CHECKS } = CALL_CHECKS;
/** Who builds on tasks adds its own, and checks with both. */
export const TASK_CHECKS: Checks = {
  ...RESOURCE_CHECKS, name: text, numReturns: whole(0, 10_000), streamBackpressure: whole(1, AHEAD_MAX),
  maxRetries: whole(-1), maxCalls: whole(0), retryExceptions, nonRetryable, retryDelayMs: amount, retryBackoff: amount,
  maxRetryDelayMs: amount, timeoutMs: limit, attemptTimeoutMs: limit, heartbeatTimeoutMs: limit,
  signal: abortSignal, exclusive: bool, scope: isScope,
  capture: oneOf("auto", "value", "reference"),
};
const ACTOR_CHECKS: Record<string, Check> = {
  ...RESOURCE_CHECKS,
  name: text,
  namespace: text,
  lifetime: oneOf("job", "detached"),
  getIfExists: bool,
  maxRestarts: whole(-1),
  maxTaskRetries: whole(-1),
  retryExceptions,
  maxConcurrency: atOnce,
  maxPendingCalls: whole(-1),
  methods: object,
  concurrencyGroups: groups,
  allowOutOfOrder: bool,
  reentrant: bool,
  isolation: oneOf("process", "thread", "shared"),
  heapLimit: bytes,
  capture: oneOf("auto", "value", "reference"),
};

const GROUP_CHECKS: Record<string, Check> = {
  strategy: oneOf(...GROUP_STRATEGIES), name: text, namespace: text, lifetime: oneOf("job", "detached"),
};

export function checkTaskOptions<T extends object = TaskOptions>(options: T, what = "task", checks = TASK_CHECKS): T {
  return check(what, options, checks);
}

export function checkGroupOptions(options: GroupOptions): GroupOptions {
  return check("placement group", options, GROUP_CHECKS);
}

export function checkCallOptions(options: CallOptions): CallOptions {
  return check("call", options, CALL_CHECKS);
}

/** What was given before holds where nothing is given now. */
export function mergeActorOptions(before: ActorOptions, options: ActorOptions): ActorOptions {
  return checkActorOptions({ ...before, ...check("actor", options, ACTOR_CHECKS) });
}

export function checkActorOptions(options: ActorOptions): ActorOptions {
  const checked = check("actor", options, ACTOR_CHECKS);
  if (checked.getIfExists && checked.name === undefined) throw new InvalidArgumentError("actor option getIfExists needs a name");
  if (checked.heapLimit !== undefined && checked.isolation !== "thread")
    throw new InvalidArgumentError("actor option heapLimit is for isolation 'thread'");
  const methods = Object.entries(checked.methods ?? {}).map(([method, call]) => {
    const options = check(`method ${method}`, call, METHOD_CHECKS);
    const { concurrencyGroup: group } = options;
    if (group === undefined || Object.hasOwn(checked.concurrencyGroups ?? {}, group)) return [method, options] as const;
    throw new InvalidArgumentError(`method ${method} option concurrencyGroup: the actor has no concurrencyGroups.${group}`);
  });
  return methods.length === 0 ? checked : { ...checked, methods: Object.fromEntries(methods) };
}

function check<T extends object>(what: string, options: T, checks: Checks): T {
  const given = checkOptions(what, options, checks);
  const { runtimeEnv } = given as ResourceOptions;
  return runtimeEnv === undefined ? given : { ...given, runtimeEnv: checkRuntimeEnv(`${what} option runtimeEnv`, runtimeEnv) };
}

/** Fixed-point resources of a request; throws for what is no amount. */
export function resourcesOf(options: ResourceOptions, defaultCpus: number): Record<string, number> {
  const { resources = {} } = options;
  checkCustom(resources);
  const memory = options.memory === undefined ? 0 : (bytesOf(options.memory) ?? 0);
  const parsed = parseResources({ CPU: options.numCpus ?? defaultCpus, GPU: options.numGpus ?? 0, memory, ...resources });
  if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
  checkFits(options.schedulingStrategy, parsed.resources);
  return { ...parsed.resources };
}

/** @throws InvalidArgumentError for names among `resources` that have options of their own. */
export function checkCustom(resources: Readonly<Record<string, number>>): void {
  for (const [name, option] of [["CPU", "numCpus"], ["GPU", "numGpus"], ["memory", "memory"]]) {
    if (!Object.hasOwn(resources, name)) continue;
    throw new InvalidArgumentError(`resources: ${name} is given by the option ${option}, not as ${name}: ${resources[name]}`);
  }
}

/** The predicate of a retryExceptions option. `nonRetryable` goes before it. */
export function retryPredicate(
  option: RetryExceptions | undefined, nonRetryable?: TaskOptions["nonRetryable"],
): ((error: unknown) => boolean) | undefined {
  if (option === undefined || option === false) return undefined;
  if (option === true && nonRetryable === undefined) return RETRY_ALL;
  const retries = option === true ? RETRY_ALL : predicateOf(option);
  const isFinal = nonRetryable === undefined ? () => false : predicateOf(nonRetryable);
  return (error) => {
    try {
      return !isFinal(error) && retries(error);
    } catch (thrown) {
      warn("TROUPE_RETRY_UNDECIDED", `an error is not retried, because retryExceptions or nonRetryable threw: ${String(thrown)}`);
      return false;
    }
  };
}

function predicateOf(given: readonly ErrorClass[] | ((error: unknown) => boolean)): (error: unknown) => boolean {
  return typeof given === "function" ? given : (error) => given.some((type) => error instanceof (type as never));
}
