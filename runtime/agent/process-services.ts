// What an agent does for the drivers and workers that it is home to: the messages and calls it takes from each.

import type { AnswerBody, ActorSpec, CallHandlers, Caller, MessageHandlers, Peer } from "../transport/index.ts";
import type { ActorDesk } from "./actors/actor-desk.ts";
import type { AgentActors } from "./actors/agent-actors.ts";
import type { AgentCode } from "./agent-code.ts";
import type { AgentEnvironments } from "./agent-environments.ts";
import type { AgentGroups } from "./agent-groups.ts";
import type { AgentJobs } from "./agent-jobs.ts";
import type { AgentLeases } from "./agent-leases.ts";
import type { AgentObjects } from "./objects/agent-objects.ts";
import type { AgentState } from "./reports/agent-state.ts";
import type { FarObjects } from "./objects/far-objects.ts";
import type { HeadLink } from "./head/head-link.ts";
import type { KeptObjects } from "./objects/kept-objects.ts";
import type { NodeMetrics } from "./reports/node-metrics.ts";
import type { ObjectSearch } from "./objects/object-search.ts";
import type { Relays } from "./relays.ts";

export interface ProcessServicesParts {
  readonly nodeId: string;
  readonly caller: Caller;
  readonly jobOf: (peer: Peer) => string;
  /** Whom the code of a process is kept for. */
  readonly holderOf: (peer: Peer) => string;
  readonly jobs: AgentJobs;
  readonly leases: AgentLeases;
  readonly actors: ActorDesk;
  readonly objects: AgentObjects;
  readonly kept: KeptObjects;
  readonly search: ObjectSearch;
  readonly code: AgentCode;
  readonly environments: AgentEnvironments;
  readonly groups: AgentGroups;
  readonly state: AgentState;
  readonly metrics: NodeMetrics;
  readonly relays: Relays;
  readonly head: HeadLink;
}

export class ProcessServices {
  readonly #parts: ProcessServicesParts;

  constructor(parts: ProcessServicesParts) {
    this.#parts = parts;
  }

  messages(peer: Peer): MessageHandlers {
    const { caller, leases, actors: { actors, threads }, objects, relays, metrics } = this.#parts;
    const from = peer.processId;
    return {
      leaseRequest: (request) => leases.requested(request, from, ""),
      leaseReturned: ({ lease, node }) => leases.returned(lease, node),
      leaseIdle: ({ lease, leaves }) => (leaves ? leases.workerLeaves(lease, from) : leases.workerIdle(lease, from)),
      endLease: (message) => leases.endWorker(message),
      suspended: ({ lease }) => leases.suspended(lease),
      resumed: ({ lease }) => leases.resumed(lease),
      freeObjects: (message) => objects.free(message, false),
      actorConstructed: (message) => actors.constructed(message),
      actorExiting: (message) => actors.exiting(message),
      actorEnded: (message) => actors.ended(message),
      threadEnded: (message) => threads.ended(message),
      relay: (message) => relays.pass(message),
      relayClosed: (message) => relays.passClosed(message),
      metrics: ({ json }) => metrics.received(from, json),
      answer: (answer) => caller.answered(answer),
      goodbye: () => {},
    };
  }

  calls(peer: Peer): CallHandlers {
    const { nodeId, jobOf, holderOf, jobs, actors: { actors }, code, environments, groups, state, head } = this.#parts;
    const { objects, kept, search } = this.#parts;
    return {
      registerJob: async ({ details }) => {
        const body = { details, processId: peer.processId, nodeId, driverNode: peer.nodeId };
        const registeredJob = await head.ask("registerJob", body, "registeredJob");
        jobs.registered(peer.processId, registeredJob.jobId);
        return { registeredJob };
      },
      createActor: ({ spec }) => this.#createActor(spec as ActorSpec),
      resolveActor: (body) => this.#resolveActor(body),
      killActor: (body) => (actors.has(body.actor) ? actors.kill(body) : this.#killElsewhere(body)),
      createGroup: ({ spec }) => groups.call("createGroup", {
        spec: { ...spec, holder: spec?.detached ? "" : holderOf(peer), jobId: jobOf(peer) },
      }),
      findGroup: (body) => groups.call("findGroup", body, body.waitMs),
      commitKeys: async (body) => ({ committed: await head.ask("commitKeys", body, "committed") }),
      readKeys: async (body) => ({ entries: await head.ask("readKeys", body, "entries") }),
      removeGroup: async (body) => ({ done: await head.ask("removeGroup", body, "done") }),
      listState: async (body) => ({
        stateRows: await (body.here ? state.here(body) : head.ask("listState", body, "stateRows")),
      }),
      findObjects: (body) => search.find(body),
      ...kept.calls(),
      exportCode: (body) => code.export(body, holderOf(peer)),
      fetchCode: (body) => code.fetch(body, holderOf(peer)),
      readChunk: (body) => objects.readAnywhere(body),
      writeChunk: (body) => environments.write(body, jobOf(peer)),
    };
  }

  /** Of a process that maps the store, as client `client`. */
  storeCalls(client: number, peer: Peer): CallHandlers {
    const { objects, jobs, jobOf } = this.#parts;
    return {
      grantSlab: (body) => objects.slab(client, body),
      grantDescriptors: (body) => objects.descriptors(client, body),
      allocateObject: (body) => objects.allocate(client, body, jobs.heirOf(jobOf(peer))),
      fetchObject: (body) => objects.fetch(body, client),
    };
  }

  storeMessages(client: number): MessageHandlers {
    return { objectsOpened: (message) => this.#parts.objects.opened(client, message) };
  }

  /** Of a driver that does not. */
  farCalls(peer: Peer, objects: FarObjects): CallHandlers {
    const { environments, jobOf } = this.#parts;
    return {
      allocateObject: (body) => objects.allocate(body),
      writeChunk: (body) => (body.blob === "" ? objects.write(body) : environments.write(body, jobOf(peer))),
    };
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #createActor(spec: ActorSpec): Promise<AnswerBody> {
    const { actors, head } = this.#parts;
    if (spec.name !== "") {
      const holder = await head.ask("createActor", { spec }, "actor");
      if (holder.actor !== spec.actor || holder.state !== "PENDING") return { actor: holder };
    }
    return actors.create({ spec, incarnation: 0, restarts: 0 });
  }

  async #resolveActor(body: Parameters<AgentActors["resolve"]>[0]): Promise<AnswerBody> {
    const { actors: { actors }, head } = this.#parts;
    if (body.actor !== "" && actors.has(body.actor)) return actors.resolve(body);
    return { actor: await head.ask("resolveActor", body, "actor", body.waitMs) };
  }

  async #killElsewhere(body: Parameters<AgentActors["kill"]>[0]): Promise<AnswerBody> {
    return { done: await this.#parts.head.ask("killActor", body, "done") };
  }
}
