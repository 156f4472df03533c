// A typed handle to an actor: what `.remote()` of a class returns and what travels instead of the actor.
//
// Counted from the start: when its last handle anywhere is gone, the actor ends (unless it is detached). A handle that was looked
// up by name does not count.

import { InvalidArgumentError, ObjectFreedError } from "../../errors.ts";
import type { ActorInfo } from "../../transport/index.ts";
import type { ActorClient, ClientOptions } from "./actor-client.ts";
import type { HandleGroup } from "../objects/handle-registry.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Made } from "../streams/object-ref-stream.ts";
import type { RetryOn } from "../tasks/outcome.ts";
import type { Waiting } from "../objects/waiting.ts";

export const HANDLE_BRAND = Symbol.for("troupe.handle");
const CORE = Symbol.for("troupe.handle.core");

/** Options of one call, checked. */
export interface CallOptions {
  readonly name?: string | undefined;
  readonly numReturns?: number | undefined;
  readonly streamBackpressure?: number | undefined;
  readonly maxTaskRetries?: number | undefined;
  readonly retryOn?: ((error: unknown) => boolean) | undefined;
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly concurrencyGroup?: string | undefined;
}

/** What every handle to an actor knows of it. */
export interface HandleOptions extends ClientOptions {
  readonly maxTaskRetries?: number | undefined;
  readonly retryOn?: RetryOn;
  readonly methods?: Readonly<Record<string, CallOptions>> | undefined;
  /** Its methods that are generators. */
  readonly streams?: readonly string[] | undefined;
  /** Its concurrency groups; undefined when they are not known. */
  readonly groups?: readonly string[] | undefined;
}

/** `retryExceptions: true`. Other predicates are code, and stay with the handle they were given to. */
export const RETRY_ALL = (): boolean => true;

/** What a copy of a handle knows: the method names and the options that are data. */
export interface HandleFacts {
  readonly methods: readonly string[];
  readonly options: HandleOptions;
  readonly retryAll: boolean;
  /** Methods whose every error is retried. */
  readonly retryAllOf: readonly string[];
}

export function factsOf(methods: ReadonlySet<string>, options: HandleOptions): HandleFacts {
  const own = Object.entries(options.methods ?? {});
  return {
    methods: [...methods], options, retryAll: options.retryOn === RETRY_ALL,
    retryAllOf: own.filter(([, { retryOn }]) => retryOn === RETRY_ALL).map(([name]) => name),
  };
}

export function optionsOf({ options, retryAll, retryAllOf }: HandleFacts): HandleOptions {
  const methods: Record<string, CallOptions> = { ...options.methods };
  for (const name of retryAllOf) methods[name] = { ...methods[name], retryOn: RETRY_ALL };
  return { ...options, methods, retryOn: retryAll ? RETRY_ALL : undefined };
}

/** Options of users, checked at the door, which is the SDK's. */
let checkCall: (options: object) => CallOptions = (options) => options;

export function setCallCheck(check: (options: object) => CallOptions): void {
  checkCall = check;
}

/** What a handle needs of its session. */
export interface HandleSession {
  readonly waiting: Waiting;
  callActor(core: HandleCore, method: string, args: readonly unknown[], options: CallOptions): Made;
  releaseActorHandle(core: HandleCore): void;
  actorReady(core: HandleCore): Promise<void>;
  resolveActor(which: { actor: string }): Promise<ActorInfo>;
  killActor(core: HandleCore, noRestart: boolean): Promise<void>;
}

/** The state behind a handle; the handle itself is a proxy that makes `handle.method.remote(…)` of it. */
export class HandleCore {
  readonly session: HandleSession;
  readonly client: ActorClient;
  /** Undefined for a handle that does not count. */
  readonly entry: ObjectEntry | undefined;
  readonly methods: ReadonlySet<string>;
  readonly options: HandleOptions;
  group: HandleGroup | undefined;
  released = false;

  constructor(
    session: HandleSession,
    client: ActorClient,
    entry: ObjectEntry | undefined,
    methods: ReadonlySet<string>,
    options: HandleOptions,
  ) {
    this.session = session;
    this.client = client;
    this.entry = entry;
    this.methods = methods;
    this.options = options;
  }

  release(): void {
    if (this.released) return;
    this.released = true;
    this.session.releaseActorHandle(this);
  }
}

/** `handle.method`: calls it, now or with options. */
class RemoteMethod {
  readonly #core: HandleCore;
  readonly #method: string;
  readonly #options: CallOptions;

  constructor(core: HandleCore, method: string, options: CallOptions) {
    this.#core = core;
    this.#method = method;
    this.#options = options;
  }

  remote(...args: unknown[]): Made {
    if (this.#core.released) {
      const actorId = this.#core.client.id;
      throw new ObjectFreedError(`actor ${this.#core.client.className} (${actorId}): this handle was released`, {
        objectId: actorId,
      });
    }
    return this.#core.session.callActor(this.#core, this.#method, args, this.#options);
  }

  options(options: object): RemoteMethod {
    return new RemoteMethod(this.#core, this.#method, { ...this.#options, ...checkCall(options) });
  }
}

/** Members that are no actor methods: what the language and tools ask of any object. */
const PROXY: ProxyHandler<{ core: HandleCore; methods: Map<string, RemoteMethod> }> = {
  get({ core, methods }, key) {
    if (key === CORE) return core;
    if (key === HANDLE_BRAND) return true;
    if (key === Symbol.dispose) return () => core.release();
    if (key === Symbol.toStringTag) return "ActorHandle";
    if (key === Symbol.for("nodejs.util.inspect.custom")) return () => describe(core);
    if (typeof key === "symbol" || key === "then") return undefined;
    let method = methods.get(key);
    if (method === undefined) {
      if (!core.methods.has(key)) return inherited(core, key);
      method = new RemoteMethod(core, key, {});
      methods.set(key, method);
    }
    return method;
  },
  has: (_target, key) => key === HANDLE_BRAND || key === CORE,
  set(_target, key) {
    throw new InvalidArgumentError(`an actor handle has no state of its own: "${String(key)}" can't be set; call a method`);
  },
  ownKeys: () => [],
  getPrototypeOf: () => Object.prototype,
};

function inherited(core: HandleCore, key: string): unknown {
  if (key === "toString" || key === "toJSON") return () => describe(core);
  if (key === "valueOf" || key === "constructor" || key === "asymmetricMatch" || key === "nodeType") return undefined;
  const known = [...core.methods].join(", ") || "none";
  throw new InvalidArgumentError(`actor ${core.client.className} has no method "${key}" (its methods: ${known})`);
}

function describe(core: HandleCore): string {
  return `ActorHandle(${core.client.className}, ${core.client.id})`;
}

export function handleOf(core: HandleCore): object {
  return new Proxy({ core, methods: new Map() }, PROXY);
}

export function isHandle(value: unknown): value is object {
  return typeof value === "object" && value !== null && HANDLE_BRAND in value;
}

export function coreOf(handle: object): HandleCore {
  const core = (handle as Record<symbol, unknown> | null | undefined)?.[CORE];
  if (core === undefined)
    throw new InvalidArgumentError("this is not an actor handle: make one with remote(Class).remote(…) or getActor(name)");
  return core as HandleCore;
}

/** Those of a class's methods that are generators: what calls of them give is a stream. */
export function streamsOf(type: Function): string[] {
  return [...methodsOf(type)].filter((name) => isGenerator((type.prototype as Record<string, Function>)[name]));
}

export function isGenerator(fn: Function): boolean {
  return /^(?:Async)?GeneratorFunction$/.test(Object.prototype.toString.call(fn).slice(8, -1));
}

/** Public methods of a class: its own and inherited prototype functions, without the constructor. */
export function methodsOf(type: Function): Set<string> {
  const methods = new Set<string>();
  for (let proto = type.prototype; proto !== null && proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const key of Object.getOwnPropertyNames(proto)) {
      const { value } = Object.getOwnPropertyDescriptor(proto, key) as PropertyDescriptor;
      if (key !== "constructor" && typeof value === "function") methods.add(key);
    }
  }
  return methods;
}
