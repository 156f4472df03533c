// What a task of a graph can say: types, defaults, checks at the door.

import {
  amount, bool, type Check, type Checks, checkTaskOptions as checkRuntimeOptions, object, oneOf, retryExceptions,
  TASK_CHECKS, text, whole,
} from "../../sdk/contract.ts";
import type { RetryExceptions, TaskOptions } from "../../sdk/index.ts";
import type { InstanceName } from "../engine/plan.ts";
import type { RunState, TaskState } from "../engine/states.ts";
import { TRIGGER_RULES, type TriggerRule } from "../engine/trigger-rules.ts";
import { Asset } from "../time/assets.ts";
import type { Store } from "../stores/store.ts";
import type { Pool } from "./pool.ts";

/** Told when something happens to a task; never changes its state. */
export type Callback = (told: CallbackInfo) => unknown;
export interface CallbackInfo {
  readonly run: { readonly id: string; readonly dagId: string; readonly logicalDate: Date };
  readonly task?: InstanceName | undefined;
  readonly attempt?: number | undefined;
  readonly error?: unknown;
  /** When the next try begins. */
  readonly nextAt?: Date | undefined;
  /** Of the task, or of the run where there is none. */
  readonly state?: TaskState | RunState | undefined;
}
export type Callbacks = Callback | readonly Callback[];

/** Options of the runtime that a graph decides itself are not among them. */
type RuntimeOptions = Omit<
  TaskOptions,
  | "name" | "numReturns" | "resources" | "signal" | "timeoutMs"
  | "retryExceptions" | "retryDelayMs" | "retryBackoff" | "maxRetryDelayMs"
>;

/** `inputs`: the arguments, by place and by name. */
export type Sizing = (inputs: Readonly<Record<string | number, never>>) => (
  Pick<TaskOptions, "numCpus" | "numGpus" | "memory" | "resources" | "labelSelector">
);

export interface DagTaskOptions extends RuntimeOptions {
  /** Custom resources by name; or what it needs, by its inputs, asked on the cluster when they are there. */
  resources?: TaskOptions["resources"] | Sizing;
  /** The id in the graph; default the name it was made with. */
  id?: string | undefined;
  /** Further tries after a failure of its own code. Default 0. */
  retries?: number | undefined;
  /** Milliseconds before the first retry. Default 300000. */
  retryDelayMs?: number | undefined;
  /** 0: every wait is the same. Otherwise the factor between them, with jitter. */
  retryBackoff?: number | undefined;
  maxRetryDelayMs?: number | undefined;
  /** Which failures are retried. Default all. */
  retryOn?: RetryExceptions | undefined;
  /** Milliseconds for one try. */
  timeoutMs?: number | undefined;
  triggerRule?: TriggerRule | undefined;
  /** Waits until the same task of the run before has succeeded or was skipped. */
  dependsOnPast?: boolean | undefined;
  pool?: Pool | string | undefined;
  /** Default 1. */
  poolSlots?: number | undefined;
  /** Higher ones first. Default 1. */
  priority?: number | undefined;
  /** What counts as its priority: with all that comes after it, with all before it, or its own. Default 'downstream'. */
  weightRule?: "downstream" | "upstream" | "absolute" | undefined;
  /** Only nodes with the label `queue` of this value run it. */
  queue?: string | undefined;
  /** Instances at once, over all runs. */
  maxActive?: number | undefined;
  /** Instances at once, in one run. */
  maxActivePerRun?: number | undefined;
  /** Its result is kept in a store, `true` for the one called default, before the task is done. */
  checkpoint?: boolean | Store | undefined;
  /**
   * A result that was made for the same key is used again, by any run: a text, or what a function makes of the arguments.
   * Without a key (undefined) the task runs.
   */
  cacheKey?: string | ((...args: never[]) => string | undefined) | undefined;
  /** What it makes: its success is an event of each. */
  outlets?: Asset | readonly Asset[] | undefined;
  onSuccess?: Callbacks | undefined;
  onFailure?: Callbacks | undefined;
  onRetry?: Callbacks | undefined;
  onSkip?: Callbacks | undefined;
  /** Names of the parameters, where they can't be read from the source. */
  args?: readonly string[] | undefined;
  doc?: string | undefined;
}

export const calls: Check = (value) => (
  typeof value === "function" || (Array.isArray(value) && value.every((one) => typeof one === "function"))
    ? undefined : "a function, or a list of functions"
);
export const milliseconds: Check = (value) => (amount(value) === undefined && value !== 0 ? undefined : "milliseconds above 0");
const assets: Check = (value) => ([value].flat().every((one) => one instanceof Asset) ? undefined : "assets");
const poolOrName: Check = (value) => (
  object(value) === undefined || text(value) === undefined ? undefined : "a pool, or its name"
);

const CHECKS: Checks = {
  id: text, retries: whole(0), retryDelayMs: amount, retryBackoff: amount, maxRetryDelayMs: amount, retryOn: retryExceptions,
  timeoutMs: milliseconds, triggerRule: oneOf(...TRIGGER_RULES), dependsOnPast: bool, pool: poolOrName, poolSlots: whole(1),
  priority: whole(-2147483648), weightRule: oneOf("downstream", "upstream", "absolute"), queue: text, maxActive: whole(1),
  maxActivePerRun: whole(1), onSuccess: calls, onFailure: calls, onRetry: calls, onSkip: calls, doc: text, outlets: assets,
  checkpoint: (value) => (bool(value) === undefined || object(value) === undefined ? undefined : "true, or a store"),
  cacheKey: (value) => (typeof value === "function" || text(value) === undefined ? undefined : "a text, or a function"),
  resources: (value) => (typeof value === "function" || object(value) === undefined ? undefined : "an object, or a function"),
  args: (value) => (Array.isArray(value) && value.every((one) => text(one) === undefined) ? undefined : "a list of names"),
};
const ALL_CHECKS: Checks = { ...TASK_CHECKS, ...CHECKS };

/** Options without those that are undefined. @throws InvalidArgumentError for unknown names and wrong values. */
export function checkTaskOptions(what: string, options: DagTaskOptions): DagTaskOptions {
  return checkRuntimeOptions(options, what, ALL_CHECKS);
}

/** What is handed on to the runtime. */
export function runtimeOptions(options: DagTaskOptions): TaskOptions {
  const own = Object.entries(options).filter(([name, value]) => (
    !Object.hasOwn(CHECKS, name) || (name === "resources" && typeof value === "object")
  ));
  const selector = options.queue === undefined ? {} : { labelSelector: { ...options.labelSelector, queue: options.queue } };
  return { ...Object.fromEntries(own), ...selector };
}

/** The later ones win; callbacks of both are called. */
export function mergeOptions(...all: readonly DagTaskOptions[]): DagTaskOptions {
  const merged: DagTaskOptions = Object.assign({}, ...all);
  for (const name of ["onSuccess", "onFailure", "onRetry", "onSkip"] as const) {
    const joined = all.flatMap((options) => options[name] ?? []);
    if (joined.length > 0) merged[name] = joined;
  }
  return merged;
}
