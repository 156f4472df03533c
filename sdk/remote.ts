// remote(): makes a function or class of the user run in the cluster.

import { InvalidArgumentError } from "../runtime/errors.ts";
import type { CaptureOptions } from "../runtime/closure/index.ts";
import { LeasePool } from "../runtime/core/index.ts";
import {
  factsOf,
  isGenerator,
  methodsOf,
  type CallOptions as CheckedCallOptions,
  type HandleOptions,
  type Made,
  type SchedulingClass,
  type Session,
  setCallCheck,
  STREAM_AHEAD,
  streamsOf,
  type TaskTemplate,
} from "../runtime/owner/index.ts";
import { REMOTE_CLASS_BRAND, REMOTE_FUNCTION_BRAND } from "../runtime/serialize/index.ts";
import { resourcesKey } from "../scheduler/index.ts";
import { currentSession } from "../runtime/owner/index.ts";
import {
  checkActorOptions,
  checkCallOptions,
  checkTaskOptions,
  mergeActorOptions,
  resourcesOf,
  retryPredicate,
  type ActorOptions,
  type CallOptions,
  type ResourceOptions,
  type TaskOptions,
} from "./options.ts";
import type { Strategy } from "../runtime/transport/index.ts";
import { lifetimeOf } from "./scopes.ts";
import { handedDown, strategyOf } from "./strategies.ts";
import { bytesOf } from "./byte-sizes.ts";
import { requestOf } from "./runtime-env.ts";
import type { RemoteClass, RemoteFunction } from "./types.ts";

/** Ray's retry default: tasks are expected to be safe to run again after a crash. */
const MAX_RETRIES = 3;
const INFEASIBLE_GRACE_MS = 30_000;
const MAX_RETRY_DELAY_MS = 60_000;
/** "Wait for nodes to come" on the wire. */
export const GRACE_ENDLESS = 0xffffffff;

/**
 * A function, as one that runs in the cluster, or a class, as one whose instances are actors. Cheap, and possible before init();
 * the code is captured once, at the first `.remote()`.
 *
 * @throws InvalidArgumentError for anything else, and for wrong options.
 */
export function remote<A extends readonly unknown[], R, N extends number = 1>(
  fn: (...args: A) => R,
  options?: TaskOptions & { numReturns?: N },
): RemoteFunction<A, R, N>;
export function remote<C extends abstract new (...args: never[]) => unknown>(type: C, options?: ActorOptions): RemoteClass<C>;
export function remote(target: unknown, options: TaskOptions | ActorOptions = {}): unknown {
  if (typeof target !== "function") {
    throw new InvalidArgumentError(`remote: expected a function or a class, not ${target === null ? "null" : typeof target}`);
  }
  if (isClass(target)) return new ActorClass(target, checkActorOptions(options as ActorOptions));
  return new TaskFunction(target as (...args: never[]) => unknown, checkTaskOptions(options as TaskOptions));
}

function isClass(target: Function): boolean {
  return /^class\b/.test(Function.prototype.toString.call(target));
}

const REDUCE = Symbol.for("troupe.reduce");

/** Code is captured once: at these calls it is looked whether it still says what the program does. */
function isLookedAt(call: number): boolean {
  return call === 2 || call === 100;
}

function captureOptions({ capture = "auto" }: TaskOptions | ActorOptions): CaptureOptions {
  return { mode: capture };
}

class TaskFunction {
  readonly #fn: (...args: never[]) => unknown;
  readonly #options: TaskOptions;
  readonly #templates = new WeakMap<Session, { readonly template: TaskTemplate; readonly inherited: Strategy | undefined }>();
  #template: TaskTemplate | undefined;
  #session: Session | undefined;
  #inherited: Strategy | undefined;
  #calls = 0;

  constructor(fn: (...args: never[]) => unknown, options: TaskOptions) {
    this.#fn = fn;
    this.#options = options;
    // Resources are wrong at the door, not at the first call.
    resourcesOf(options, 1);
    if (options.numReturns === undefined || !isGenerator(fn)) return;
    throw new InvalidArgumentError(`remote: "${fn.name}" is a generator function: it has a stream, and no numReturns`);
  }

  remote(...args: unknown[]): Made {
    const session = currentSession();
    const inherited = handedDown(session);
    if (this.#session !== session || this.#inherited !== inherited) {
      this.#template = this.#templateIn(session, inherited);
      this.#session = session;
      this.#inherited = inherited;
    }
    const returned = session.submit(this.#template as TaskTemplate, args);
    this.#calls += 1;
    if (isLookedAt(this.#calls)) session.code.warnIfStale(this.#fn, captureOptions(this.#options));
    return returned;
  }

  options(options: TaskOptions): TaskFunction {
    return new TaskFunction(this.#fn, { ...this.#options, ...checkTaskOptions(options) });
  }

  local(...args: never[]): unknown {
    return this.#fn(...args);
  }

  /** Sessions that share a process may take turns. */
  #templateIn(session: Session, inherited: Strategy | undefined): TaskTemplate {
    const known = this.#templates.get(session);
    if (known !== undefined && known.inherited === inherited) return known.template;
    const template = taskTemplate(session, this.#fn, this.#options);
    this.#templates.set(session, { template, inherited });
    return template;
  }

  [REDUCE](): readonly [restore: Function, args: readonly unknown[]] {
    return [remote, [this.#fn, this.#options]];
  }
}
Object.defineProperty(TaskFunction.prototype, REMOTE_FUNCTION_BRAND, { value: true });

/** What all calls of a function with these options in a session have in common. */
export function taskTemplate(session: Session, fn: Function, options: TaskOptions): TaskTemplate {
  const captured = session.code.shipper.capture(fn, captureOptions(options));
  const name = options.name ?? captured.name;
  const isStream = isGenerator(fn);
  return {
    id: session.newShortId(),
    code: captured,
    name,
    method: "",
    numReturns: isStream ? 0 : (options.numReturns ?? 1),
    streamAhead: isStream ? (options.streamBackpressure ?? STREAM_AHEAD) : 0,
    scope: options.scope && lifetimeOf(options.scope),
    maxRetries: options.maxRetries ?? MAX_RETRIES,
    retryOn: retryPredicate(options.retryExceptions, options.nonRetryable),
    retryDelays: {
      retryDelayMs: options.retryDelayMs ?? 0,
      retryBackoff: options.retryBackoff ?? 2,
      maxRetryDelayMs: options.maxRetryDelayMs ?? MAX_RETRY_DELAY_MS,
    },
    maxCalls: options.maxCalls ?? 0,
    timeoutMs: options.timeoutMs,
    attemptTimeoutMs: options.attemptTimeoutMs,
    heartbeatTimeoutMs: options.heartbeatTimeoutMs,
    signal: options.signal,
    scheduling: schedulingClass(session, options, name, !options.exclusive && options.maxRetries !== 0 && !options.numGpus),
    expectedMicros: undefined,
    calls: 0,
    ended: 0,
    site: undefined,
  };
}

class ActorClass {
  readonly #type: Function;
  readonly #options: ActorOptions;
  #created = 0;

  constructor(type: Function, options: ActorOptions) {
    this.#type = type;
    this.#options = options;
    resourcesOf(options, 1);
    methodGroupsOf(type, methodsOf(type), options);
  }

  remote(...args: unknown[]): object {
    const session = currentSession();
    const handle = createActor(session, this.#type, this.#options, args);
    this.#created += 1;
    if (isLookedAt(this.#created)) session.code.warnIfStale(this.#type, captureOptions(this.#options));
    return handle;
  }

  options(options: ActorOptions): ActorClass {
    return new ActorClass(this.#type, mergeActorOptions(this.#options, options));
  }

  [REDUCE](): readonly [restore: Function, args: readonly unknown[]] {
    return [remote, [this.#type, this.#options]];
  }
}
Object.defineProperty(ActorClass.prototype, REMOTE_CLASS_BRAND, { value: true });

/** Starts the creation of an actor; its handle is there at once. */
export function createActor(session: Session, type: Function, options: ActorOptions, args: readonly unknown[]): object {
  const captured = session.code.shipper.capture(type, captureOptions(options));
  const methods = methodsOf(type);
  const handle = { ...handleOptions(options), streams: streamsOf(type) };
  const { isolation = "process" } = options;
  const isShared = isolation !== "process";
  if (isolation === "thread") refuseInOneProcess(session, "isolation: 'thread' asks for a thread");
  const holdsNothing = options.numCpus === undefined && options.numGpus === undefined && options.resources === undefined;
  const spec = {
    className: captured.name,
    placement: resourcesOf(options, isShared ? 0 : 1),
    lifetime: resourcesOf(options, holdsNothing ? 0 : (options.numCpus ?? 0)),
    maxRestarts: options.maxRestarts ?? 0,
    maxConcurrency: options.maxConcurrency ?? 1,
    name: options.name ?? "",
    namespace: options.namespace ?? session.namespace,
    detached: options.lifetime === "detached",
    strategy: strategyOf(options.schedulingStrategy, options.labelSelector, handedDown(session)),
    getIfExists: options.getIfExists ?? false,
    infeasibleGraceMs: graceOf(options),
    concurrencyGroups: options.concurrencyGroups ?? {},
    methodGroups: methodGroupsOf(type, methods, options),
    outOfOrder: options.allowOutOfOrder ?? false,
    reentrant: options.reentrant ?? false,
    isolation: isShared ? isolation : "",
    heapLimit: bytesOf(options.heapLimit ?? 0) ?? 0,
    options: Buffer.from(JSON.stringify(factsOf(methods, handle))),
  };
  return session.createActor(spec, args, methods, {
    code: captured, environment: environmentOf(session, options), handle,
  });
}

function handleOptions(options: ActorOptions): HandleOptions {
  const { maxTaskRetries, maxPendingCalls, allowOutOfOrder, retryExceptions, concurrencyGroups = {}, methods = {} } = options;
  const perMethod = Object.entries(methods).map(([name, { concurrencyGroup: _group, ...call }]) => [name, callOptions(call)]);
  return {
    maxTaskRetries, maxPendingCalls, allowOutOfOrder, retryOn: retryPredicate(retryExceptions),
    groups: Object.keys(concurrencyGroups), methods: Object.fromEntries(perMethod) as HandleOptions["methods"],
  };
}

function methodGroupsOf(type: Function, methods: ReadonlySet<string>, options: ActorOptions): Record<string, string> {
  const groups: Record<string, string> = {};
  for (const [method, { concurrencyGroup }] of Object.entries(options.methods ?? {})) {
    if (!methods.has(method)) {
      const known = [...methods].join(", ") || "none";
      throw new InvalidArgumentError(`actor option methods: ${type.name} has no method "${method}" (its methods: ${known})`);
    }
    if (concurrencyGroup !== undefined) groups[method] = concurrencyGroup;
  }
  return groups;
}

function environmentOf(session: Session, { runtimeEnv }: ResourceOptions): ReturnType<Session["environments"]["use"]> {
  if (runtimeEnv !== undefined) refuseInOneProcess(session, "runtimeEnv asks for processes");
  return session.environments.use(requestOf(runtimeEnv));
}

/** What a cluster of this process alone can't have. */
function refuseInOneProcess({ parts: { oneProcess } }: Session, what: string): void {
  if (!oneProcess) return;
  throw new InvalidArgumentError(`${what} of its own, which init({ mode: "inline" }) has none of: use mode "cluster"`);
}

function graceOf(options: ResourceOptions): number {
  return options.throwOnInfeasible === false ? GRACE_ENDLESS : (options.infeasibleGraceMs ?? INFEASIBLE_GRACE_MS);
}

/** As calls take them. */
function callOptions({ retryExceptions, ...options }: CallOptions): CheckedCallOptions {
  return retryExceptions === undefined ? options : { ...options, retryOn: retryPredicate(retryExceptions) ?? retryNone };
}
/** Said of one call or method, it holds against what the actor says. */
const retryNone = (): boolean => false;
setCallCheck((given) => callOptions(checkCallOptions(given)));

const CLASSES = new WeakMap<Session, Map<string, SchedulingClass>>();

/** Tasks with equal needs share one class, and so its leases. */
function schedulingClass(session: Session, options: ResourceOptions, name: string, mayShare: boolean): SchedulingClass {
  const resources = resourcesOf(options, 1);
  const strategy = strategyOf(options.schedulingStrategy, options.labelSelector, handedDown(session));
  const infeasibleGraceMs = graceOf(options);
  const { environments } = session;
  const request = requestOf(options.runtimeEnv);
  const environment = environmentOf(session, options);
  // A worker that waits runs children only in the environment that it was started in.
  const shareable = mayShare && environment === environments.own;
  const environmentKey = environments.keyOf(request);
  const key = JSON.stringify([resourcesKey(resources), strategy, infeasibleGraceMs, shareable, environmentKey]);
  let classes = CLASSES.get(session);
  if (classes === undefined) {
    classes = new Map();
    CLASSES.set(session, classes);
  }
  let found = classes.get(key);
  if (found === undefined) {
    const pool: SchedulingClass["pool"] = new LeasePool();
    found = { id: session.newShortId(), resources, strategy, infeasibleGraceMs, environment, name, pool, shareable };
    classes.set(key, found);
  }
  return found;
}

