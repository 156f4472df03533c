// serveDags(): graphs are served by a detached actor of the cluster, one of a name. It survives who started it, and begins
// anew when its process dies.

import { randomBytes } from "node:crypto";
import { getActor, InvalidArgumentError, kill, NotFoundError, ready, remote } from "../../sdk/index.ts";
import type { ActorHandle, ObjectRef } from "../../sdk/index.ts";
import { bool, type Checks, checkOptions, isClusterToken, object, RELEASE, text } from "../../sdk/contract.ts";
import { get, getRuntimeContext, onNode } from "../../sdk/index.ts";
import { type ApiPlace, type ApiServer, serveApi } from "../api/server.ts";
import { claimRun, startRun } from "../dag.ts";
import type { Occasion } from "../run/context.ts";
import { type Clock, systemClock, VirtualClock } from "../run/clock.ts";
import { Engine, serviceEngine } from "../run/engine.ts";
import { LocalRunner } from "../run/local-runner.ts";
import { learnSecrets } from "../operators/connection.ts";
import { bookBy, type RunBook, runBook } from "../run/run-book.ts";
import { publishStores } from "../stores/define-store.ts";
import { onAssetEvents, onAssetEventsHere } from "../time/assets.ts";
import type { GraphDetail } from "../graph/describe.ts";
import { type Definition, DagServer, definitionOf, type ServedDag, type ManualRun } from "./dag-server.ts";
import { addedTo, keepAdded } from "./added-graphs.ts";
import { adoptRuns } from "./adoption.ts";
import { clusterBoard, MemoryBoard, type Turn } from "./board.ts";
import { dagsIn } from "./folder.ts";
import { clusterTicks, MemoryTicks } from "./ticks.ts";

export interface ServeOptions {
  /** Default "default". */
  readonly name?: string | undefined;
  /** They run when they are unpaused, or triggered. Default false. */
  readonly paused?: boolean | undefined;
  /** The HTTP API, on the machine that serves them; on loopback unless a host is given. */
  readonly http?: ApiPlace | undefined;
  /** Serves them in this process, with this clock and without a cluster: for tests. */
  readonly clock?: VirtualClock | undefined;
}

export type ServedGraphs = { readonly dags: readonly unknown[]; readonly dir?: undefined }
  | { readonly dir: string; readonly dags?: undefined };

const CHECKS: Checks = {
  name: text, paused: bool, http: object,
  clock: (value) => (value instanceof VirtualClock ? undefined : "a VirtualClock"),
};

/** A service: its graphs, and their runs. */
export interface DagService extends RunBook {
  readonly name: string;
  /** Of the HTTP API, when it has one. */
  readonly url: string | undefined;
  dags(): Promise<ServedDag[]>;
  describe(id: string): Promise<GraphDetail>;
  /** The next times that a graph is due. */
  next(id: string, count?: number): Promise<Date[]>;
  /** No more runs by itself until it is unpaused, also when it is served anew. */
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  /** Starts a run; gives its id. */
  trigger(id: string, options?: ManualRun): Promise<string>;
  /** Ends the service; runs that are under way end with it. */
  stop(): Promise<void>;
}

const NAMESPACE = "troupe-dags";
/** Those who wait for events take a place each. */
const CALLS_AT_ONCE = 1000;
/** Between looks for events of assets. */
const LISTEN_MS = 1000;
const actorName = (name: string): string => `dags:${name}`;

/** The actor: one server, on the cluster's clock. */
export class DagHost {
  readonly #server: DagServer;
  readonly #name: string;
  /** The same in every life of the service. */
  readonly #id = getRuntimeContext().actorId ?? "";
  readonly #ready: Promise<void>;
  readonly #maker: string;
  #api: Promise<ApiServer> | undefined;

  constructor(name: string, definitions: readonly Definition[], paused: boolean, maker: string, http?: ApiPlace) {
    this.#name = name;
    this.#maker = maker;
    const engine = serviceEngine(actorName(name));
    this.#server = new DagServer({
      clock: systemClock,
      ticks: clusterTicks,
      start: (definition, when, params = {}) => startRun(definition, params, when, engine),
      board: clusterBoard,
      claim: (definition, when, turn) => claimRun(definition, when, turn, engine),
    });
    void adoptRuns(engine, (run) => this.#server.adopted(run));
    onAssetEvents(() => this.#server.heard());
    void this.#listen();
    if (http !== undefined) {
      this.listen(http).catch((error: unknown) => process.emitWarning(`${(error as Error).message}`));
    }
    this.#ready = this.#begin(definitions, paused);
    this.#ready.catch((error: unknown) => process.emitWarning(`graphs can't be served: ${String(error)}`));
  }

  /** Whose graphs it began with, once they are served. */
  async maker(): Promise<string> {
    await this.#ready;
    return this.#maker;
  }

  async #begin(definitions: readonly Definition[], paused: boolean): Promise<void> {
    const added = await addedTo(this.#id);
    const newer = new Set(added.map(({ definition }) => definition.id));
    await this.#server.add(definitions.filter(({ id }) => !newer.has(id)), paused);
    for (const one of added) await this.#server.add([one.definition], one.paused, one.version);
  }

  async add(definitions: readonly Definition[], paused: boolean): Promise<void> {
    await this.#ready;
    await this.#server.add(definitions, paused);
    const versions = new Map(this.#server.dags().map(({ id, version }) => [id, version]));
    await keepAdded(this.#id, definitions.map((definition) => ({ definition, paused, version: versions.get(definition.id)! })));
  }

  /** The URL of its HTTP API. @throws ConnectionError when the port can't be had. */
  async listen(http: ApiPlace): Promise<string> {
    this.#api ??= this.#serveApi(http);
    return (await this.#api).url;
  }

  async url(): Promise<string | undefined> {
    return (await this.#api?.catch(() => undefined))?.url;
  }

  async #serveApi(http: ApiPlace): Promise<ApiServer> {
    const served = {
      name: this.#name, ...runBook,
      dags: () => this.dags(), describe: (id: string) => this.describe(id), next: (id: string, count = 1) => this.next(id, count),
      pause: (id: string) => this.pause(id), unpause: (id: string) => this.unpause(id),
      trigger: (id: string, options: ManualRun = {}) => this.trigger(id, options),
    };
    try {
      return await serveApi({ served, version: RELEASE, isToken: isClusterToken, learnSecrets }, http);
    } catch (error) {
      this.#api = undefined;
      throw error;
    }
  }

  async dags(): Promise<ServedDag[]> {
    return (await this.#served()).dags();
  }

  async describe(id: string): Promise<GraphDetail> {
    return (await this.#served()).describe(id);
  }

  async next(id: string, count: number): Promise<Date[]> {
    return (await this.#served()).next(id, count);
  }

  async pause(id: string): Promise<void> {
    await (await this.#served()).pause(id);
  }

  async unpause(id: string): Promise<void> {
    await (await this.#served()).unpause(id);
  }

  async trigger(id: string, options: ManualRun): Promise<string> {
    return (await this.#served()).trigger(id, options);
  }

  /** In a new life it has its graphs only when they are read. */
  async #served(): Promise<DagServer> {
    await this.#ready;
    return this.#server;
  }

  /** Assets may have changed. */
  heard(): Promise<void> {
    return this.#server.heard();
  }

  /** To what is told in other processes. Never ends: services live until they are killed. */
  async #listen(): Promise<never> {
    for (let seen = -1; ; ) {
      const newest = await clusterBoard.newestNumber().catch(() => seen);
      if (newest !== seen) await this.#server.heard();
      seen = newest;
      await new Promise((resolve) => setTimeout(resolve, LISTEN_MS));
    }
  }

  /** What is asked of runs. */
  book(method: keyof RunBook, args: readonly unknown[]): Promise<unknown> {
    return (runBook[method] as (...given: readonly unknown[]) => Promise<unknown>)(...args);
  }
}

/** Serves graphs, or those of a folder, until `stop()`; a second call of the same name adds its graphs to the same service. */
export async function serveDags(
  { dags, dir, ...first }: ServedGraphs & ServeOptions,
  options: ServeOptions = {},
): Promise<DagService> {
  const { name = "default", paused = false, http, clock } = checkOptions("serveDags", { ...first, ...options }, CHECKS);
  const definitions = await definitionsOf({ dags, dir });
  if (clock !== undefined) return serveHere(name, definitions, paused, clock);
  await publishStores();
  const Host = remote(DagHost, {
    name: actorName(name),
    namespace: NAMESPACE,
    lifetime: "detached",
    getIfExists: true,
    maxRestarts: -1,
    numCpus: 0,
    maxConcurrency: CALLS_AT_ONCE,
    // Its address is one of this machine, as long as this machine is there.
    ...(http === undefined ? {} : { schedulingStrategy: onNode(getRuntimeContext().nodeId, { soft: true }) }),
  });
  const maker = randomBytes(8).toString("hex");
  const host = Host.remote(name, definitions, paused, maker, http);
  if (http !== undefined) await ask(host, () => host.listen.remote(http));
  // An actor that was there before has graphs of its own.
  if ((await ask(host, () => host.maker.remote())) !== maker) await ask(host, () => host.add.remote(definitions, paused));
  return serviceOf(name, host, await ask(host, () => host.url.remote()));
}

/** The service of a name. @throws NotFoundError. */
export async function dagService(name = "default"): Promise<DagService> {
  const host = await getActor<DagHost>(actorName(name), { namespace: NAMESPACE }).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error;
    throw new NotFoundError(`no service ${name} serves graphs here: begin one with serveDags(), or troupe dag serve DIR`);
  });
  return serviceOf(name, host, await ask(host, () => host.url.remote()));
}

async function definitionsOf(given: { readonly dags?: unknown; readonly dir?: unknown }): Promise<Definition[]> {
  const { dags, dir } = given ?? {};
  if (Array.isArray(dags)) return dags.map(definitionOf);
  if (typeof dir !== "string" || dags !== undefined) {
    throw new InvalidArgumentError('serveDags: expected { dags: [...] } or { dir: "path" }');
  }
  const found = await dagsIn(dir);
  for (const warning of found.warnings) process.emitWarning(warning, { type: "TroupeDagWarning" });
  if (found.dags.length === 0) throw new InvalidArgumentError(`serveDags: no graph is exported in ${dir}`);
  return found.dags.map(definitionOf);
}

function serviceOf(name: string, host: ActorHandle<DagHost>, url: string | undefined): DagService {
  return {
    name, url,
    dags: () => ask(host, () => host.dags.remote()),
    describe: (id) => ask(host, () => host.describe.remote(id)),
    next: (id, count = 1) => ask(host, () => host.next.remote(id, count)),
    pause: (id) => ask(host, () => host.pause.remote(id)),
    unpause: (id) => ask(host, () => host.unpause.remote(id)),
    trigger: (id, options = {}) => ask(host, () => host.trigger.remote(id, options)),
    ...bookBy((method, args) => ask(host, () => host.book.remote(method, args))),
    stop: () => kill(host),
  };
}

/** Waits while the service restarts. */
async function ask<T>(host: ActorHandle<DagHost>, call: () => ObjectRef<T>): Promise<T> {
  await ready(host);
  return get(call());
}

async function serveHere(
  name: string,
  definitions: readonly Definition[],
  paused: boolean,
  clock: VirtualClock,
): Promise<DagService> {
  const engine = new Engine(clock as Clock, new LocalRunner(clock));
  const start = (definition: Definition, when: Parameters<typeof startRun>[2], params: object = {}) => (
    startRun(definition, params, when, engine)
  );
  const board = new MemoryBoard();
  const claim = async (definition: Definition, when: Occasion, { key, before, after }: Turn) => {
    const run = await start(definition, when);
    await board.cas(key, before, after(run.id));
    return run;
  };
  const server = new DagServer({ clock, ticks: new MemoryTicks(), board, start, claim });
  onAssetEventsHere((event) => {
    board.heard(event);
    return server.heard();
  });
  await server.add(definitions, paused);
  return {
    name, url: undefined,
    dags: async () => server.dags(),
    describe: async (id) => server.describe(id),
    next: async (id, count = 1) => server.next(id, count),
    pause: (id) => server.pause(id),
    unpause: (id) => server.unpause(id),
    trigger: (id, options) => server.trigger(id, options),
    ...runBook,
    stop: async () => {
      onAssetEventsHere(undefined);
      server.stop();
    },
  };
}

/** Tells the service of the cluster, if there is one: for runs that this process made itself. */
onAssetEvents(async () => {
  try {
    const host = await getActor<DagHost>(actorName("default"), { namespace: NAMESPACE });
    await ask(host, () => host.heard.remote());
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
  }
});
