// The agent: one a machine. It grants leases on its workers, is their parent, runs the node's object store, moves objects between
// nodes and relays frames between processes of different machines.
//
// It never decodes user values. Local processes reach it at one Unix socket, other agents at one TCP port. This file joins the
// parts; each part holds its own policy.

import { failureOf, InvalidArgumentError } from "../errors.ts";
import type { ChildExit, ChildProcess, Seams, Timer } from "../seams.ts";
import type { EnvironmentSite, WorkerEnvironment } from "../environment/index.ts";
import type { ClaimBook, StoreBroker, StoreClient, StoreGrant, StoreHost } from "../store/index.ts";
import {
  Callee, type CallHandlers, Caller, ProcessWelcome, toBytes,
  type Admission, type AgentDetails, type Channel, type ChannelHandler, type Draft, type Failure,
  type Identity, type Listener, type NodeInfo, type Peer,
} from "../transport/index.ts";
import { wholeCpus, type Resources } from "../../scheduler/index.ts";
import { ActorDesk } from "./actors/actor-desk.ts";
import type { ActorPlacement } from "./actors/agent-actors.ts";
import { AgentCode } from "./agent-code.ts";
import { AgentEnvironments } from "./agent-environments.ts";
import { AgentGroups } from "./agent-groups.ts";
import { AgentJobs } from "./agent-jobs.ts";
import { AgentLogs } from "./workers/agent-logs.ts";
import { AgentLeases } from "./agent-leases.ts";
import { AgentObjects, ownBroker } from "./objects/agent-objects.ts";
import type { SpillSpace } from "./objects/agent-spilling.ts";
import { AgentState } from "./reports/agent-state.ts";
import { BulkLinks, isBulk } from "./objects/bulk-links.ts";
import { commandHandler } from "./command-services.ts";
import { Endings } from "./endings.ts";
import { Gateways } from "./gateways.ts";
import { HeadLink } from "./head/head-link.ts";
import type { HeadProcess } from "./head/head-process.ts";
import { headMessages } from "./head/head-services.ts";
import { Inspection } from "./reports/inspection.ts";
import { KeptObjects } from "./objects/kept-objects.ts";
import { LocalProcesses } from "./workers/local-processes.ts";
import type { LogFiles } from "./workers/log-files.ts";
import { MemoryWatch, type NodeMemory } from "./workers/memory-watch.ts";
import { NodeMetrics } from "./reports/node-metrics.ts";
import { ObjectSearch } from "./objects/object-search.ts";
import { Peers } from "./peers.ts";
import { ProcessServices } from "./process-services.ts";
import { Relays, type RelayTarget } from "./relays.ts";
import type { StackReader } from "./reports/stack-reader.ts";
import { type PooledWorker, type WorkerFacts, WorkerPool } from "./workers/worker-pool.ts";

/** Freed ranges that were pinned are looked at again this often. */
const SWEEP_EVERY_MS = 1000;

export interface AgentParts {
  readonly seams: Seams;
  readonly identity: Identity;
  readonly sessionDir: string;
  readonly headAddress: string;
  /** For the agent that is its parent. */
  readonly headProcess?: HeadProcess | undefined;
  /** Questions wait so long for a head. */
  readonly headWaitMs: number;
  readonly isHead: boolean;
  /** Where other agents dial; "" in a private cluster. */
  readonly listen: string;
  readonly host: string;
  readonly total: Resources;
  readonly labels: Readonly<Record<string, string>>;
  readonly store: StoreHost;
  readonly openStore: (grant: StoreGrant, broker: StoreBroker) => StoreClient;
  readonly claims: ClaimBook;
  /** Where objects go that the store has no room for; undefined: nowhere. */
  readonly spill?: SpillSpace | undefined;
  readonly workerConfig: (process: string, environment: WorkerEnvironment | undefined) => unknown;
  /** Where this node's environments are made; undefined where nothing has files, the simulation. */
  readonly environments?: EnvironmentSite | undefined;
  /** Where what workers print is kept. */
  readonly logs: Pick<LogFiles, "write" | "ended" | "read" | "list"> | undefined;
  /** Where this node's metrics are told, on loopback; 0: nowhere. */
  readonly metricsPort?: number;
  /** How a test breaks things inside; undefined unless it may. */
  readonly disturbances?: Pick<CallHandlers, "disturb"> | undefined;
  /** How the stack of a worker is read; undefined where nothing is a process, the simulation. */
  readonly stacks?: StackReader | undefined;
  /** What can be known of the machine's memory; undefined where nobody watches it, the simulation. */
  readonly memory?: NodeMemory | undefined;
  /** See WorkerPoolParts. */
  readonly workerSilenceMs: number;
  /** Told of each worker's process group, so that it ends with this process whatever happens. */
  readonly workerStarted: (pid: number) => void;
  readonly workerEnded: (pid: number) => void;
  /** The agent has to end, because of this. Called once. */
  readonly ended: (reason: string) => void;
}

export class Agent {
  readonly #parts: AgentParts;
  readonly caller: Caller;
  readonly workers: WorkerPool;
  readonly #leases: AgentLeases;
  readonly #actors: ActorDesk;
  readonly #objects: AgentObjects;
  readonly #kept: KeptObjects;
  readonly #code: AgentCode;
  readonly #environments: AgentEnvironments;
  readonly #groups: AgentGroups;
  readonly #state: AgentState;
  readonly #peers: Peers;
  readonly #bulk: BulkLinks;
  readonly #relays: Relays;
  readonly #gateways: Gateways;
  readonly #head: HeadLink;
  readonly #services: ProcessServices;
  readonly #processes = new LocalProcesses();
  readonly #jobs: AgentJobs;
  readonly #logs: AgentLogs;
  readonly #inspection: Inspection;
  readonly metrics: NodeMetrics;
  readonly #endings: Endings;
  #memory: MemoryWatch | undefined;
  readonly #listeners: Listener[] = [];
  #sweep: Timer | undefined;
  #ending = false;
  #address = "";

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { seams, identity } = parts;
    const { clock, random, spawner, transport } = seams;
    const { nodeId, processId } = identity;
    this.caller = new Caller(clock);
    const gateways = (this.#gateways = new Gateways(nodeId));
    this.#jobs = new AgentJobs(gateways);
    this.#peers = new Peers({ clock, transport, identity, gateways, handler: () => this.#peerHandler() });
    this.#bulk = new BulkLinks({ clock, transport, identity, caller: this.caller, peers: this.#peers });
    this.workers = new WorkerPool({
      clock, random, spawner, nodeId, config: parts.workerConfig,
      launchOf: (environment) => this.#environments.launchOf(environment), started: parts.workerStarted,
      memory: parts.memory, silenceMs: parts.workerSilenceMs, health: (client) => parts.store.health(client),
      ready: (worker) => this.#workerReady(worker), died: (worker, cause) => this.#endings.workerDied(worker, cause),
      logs: (lines) => this.#logs.printed(lines),
    });
    const connect = (node: string) => this.#peers.connect(node);
    this.#environments = new AgentEnvironments({
      clock, nodeId, caller: this.caller, connect, site: parts.environments,
      nodesFor: (jobId, via) => this.#peers.likeliest([via, this.#jobs.homeOf(jobId)]), isLive: (id) => this.#jobs.isLive(id),
      ready: (jobId, environment) => this.#leases.environmentReady(jobId, environment),
      failed: (jobId, environment, text) => this.#leases.environmentFailed(jobId, environment, text),
    });
    const { logs, stacks, store } = parts;
    this.#logs = new AgentLogs({ files: logs, stacks, jobs: this.#jobs, processes: this.#processes, connect });
    const [leases, workers, transfers] = [() => this.#leases, () => this.#workerRows(), () => this.#objects.transfers];
    this.metrics = new NodeMetrics({ nodeId, store, leases, workers, transfers });
    this.#inspection = new Inspection({ nodeId, caller: this.caller, connect, workers: this.workers, logs, stacks });
    this.#relays = new Relays({ nodeId, gateways, connect, local: (process) => this.#relayTarget(process) });
    this.#groups = new AgentGroups({ clock, head: () => this.#head, step: (...news) => this.#leases.headNews(...news) });
    this.#leases = new AgentLeases({
      clock, random, nodeId, processId, total: parts.total, labels: parts.labels, workers: this.workers, claims: parts.claims,
      processes: this.#processes, connectPeer: connect, environments: this.#environments, groups: this.#groups,
      adoption: (jobId) => this.#jobs.adoption(jobId),
      actorGranted: (actor, worker) => this.#actors.granted(actor, worker),
      actorRefused: (actor, error) => this.#actors.refused(actor, error),
      actorSeated: (actor) => this.#actors.actors.seated(actor),
      actorUnseated: (actor, text) => this.#actors.actors.unseated(actor, text),
      actorForwarded: (actor, node) => this.#actors.forwarded(actor, node),
      tellQuota: (report) => this.#head.send("quotaReport", report),
      changed: () => this.#head.changed(),
    });
    this.#actors = new ActorDesk({
      clock, random, nodeId, cpus: wholeCpus(parts.total), caller: this.caller, workers: this.workers, connect,
      environments: this.#environments, leases: () => this.#leases, objects: () => this.#objects,
      turnAgeMs: (client) => parts.store.health(client).turnAgeMs,
      report: (info, spec) => this.#head.send("actorReport", { info, spec }),
    });
    const grant = parts.store.admit(processId);
    const client = parts.openStore(grant, ownBroker(() => this.#objects, grant.client));
    this.#objects = new AgentObjects({
      clock, nodeId, host: parts.store, client, clientNumber: grant.client, caller: this.caller, peers: this.#peers,
      bulk: this.#bulk, spill: parts.spill, press: () => this.#processes.tell("collectGarbage", {}),
    });
    this.#kept = this.#makeKept();
    this.#code = new AgentCode({ nodeId, objects: this.#objects, head: () => this.#head });
    this.#state = this.#makeState();
    this.#head = this.#makeHead();
    this.#services = this.#makeServices();
    this.#endings = this.#makeEndings();
  }

  #makeHead(): HeadLink {
    const { seams: { clock, transport }, identity, headAddress, headProcess, headWaitMs } = this.#parts;
    return new HeadLink({
      clock, transport, identity, address: headAddress, headProcess, waitMs: headWaitMs, caller: this.caller,
      messages: headMessages(() => ({
        nodeId: this.#nodeId, desk: this.#actors, groups: this.#groups, leases: this.#leases, state: this.#state,
        endings: this.#endings, kept: this.#kept, code: this.#code, jobs: this.#jobs, relays: this.#relays,
        end: (reason) => this.end(reason),
      })),
      addressOf: (node) => this.#peers.addressOf(node),
      dialAgent: (address, headNode) => this.#peers.towards(headNode, address),
      node: () => this.#nodeInfo(),
      view: ({ nodes }) => this.#viewChanged(nodes),
      actors: () => this.#actors.actors.reports(),
      known: () => this.#leases.known(),
      jobs: (running) => {
        this.#endings.jobsEndedWhileAway(running);
        this.#kept.headBack();
      },
      away: (process) => this.#relays.processGone(process),
      lost: (reason) => this.end(reason),
      details: () => this.#details(),
    });
  }

  #makeKept(): KeptObjects {
    const { seams: { clock }, identity: { nodeId, processId } } = this.#parts;
    return new KeptObjects({
      clock, nodeId, processId, caller: this.caller, objects: this.#objects, peers: this.#peers, head: () => this.#head,
      hold: (code) => this.#code.fetch({ ...code, holder: nodeId }, nodeId),
      tell: (ended) => this.#processes.tell("objectsEnded", ended),
    });
  }

  #makeState(): AgentState {
    return new AgentState({
      nodeId: this.#nodeId, caller: this.caller, store: this.#parts.store, objects: () => this.#objects.stats(),
      workers: () => this.#workerRows(),
      logs: () => this.#inspection.logRows(), processes: this.#processes,
      orders: () => this.#leases.orderRows(), copies: () => this.#objects.copyRows(), kept: () => this.#kept.rows(),
    });
  }

  #workerRows(): WorkerFacts[] {
    return this.workers.rows((worker) => this.#leases.leaseOfWorker(worker) !== undefined);
  }

  /** Threads are leased to nobody: each is for the actor that it was started for. */
  #workerReady({ process, jobId, environment }: PooledWorker): void {
    if (this.#actors.threads.has(process)) this.#actors.threads.ready(process);
    else this.#leases.workerReady(process, jobId, environment);
  }

  #makeServices(): ProcessServices {
    const [nodeId, objects, peers] = [this.#nodeId, this.#objects, this.#peers];
    return new ProcessServices({
      search: new ObjectSearch({ nodeId, caller: this.caller, objects, peers }),
      nodeId: this.#nodeId, caller: this.caller, jobOf: (peer) => this.#jobOf(peer), jobs: this.#jobs, leases: this.#leases,
      holderOf: (peer) => this.#holderOf(peer), actors: this.#actors, objects: this.#objects, kept: this.#kept, code: this.#code,
      environments: this.#environments, groups: this.#groups, state: this.#state, relays: this.#relays, head: this.#head,
      metrics: this.metrics,
    });
  }

  #makeEndings(): Endings {
    const { store, workerEnded } = this.#parts;
    return new Endings({
      nodeId: this.#nodeId, store, workerEnded,
      stacks: this.#parts.stacks, workers: this.workers, processes: this.#processes, jobs: this.#jobs,
      leases: this.#leases, desk: this.#actors, objects: this.#objects, kept: this.#kept,
      environments: this.#environments, logs: this.#logs,
      peers: this.#peers, relays: this.#relays, head: this.#head,
    });
  }

  /** Listens, joins the head, starts the first worker. */
  async start(): Promise<void> {
    const { seams, sessionDir, identity, listen } = this.#parts;
    const admit = (peer: Peer) => this.#admit(peer);
    this.#listeners.push(await seams.transport.listen(`unix:${sessionDir}/agent.sock`, identity, admit));
    if (listen !== "") {
      const listener = await seams.transport.listen(listen, identity, admit);
      this.#address = listener.address;
      this.#listeners.push(listener);
    }
    await this.#head.join();
    this.#scheduleSweep();
    const { memory } = this.#parts;
    const isLeased = (process: string) => this.#leases.leaseOfWorker(process) !== undefined;
    if (memory !== undefined) this.#memory = new MemoryWatch({ clock: seams.clock, memory, workers: this.workers, isLeased });
  }

  get address(): string {
    return this.#address;
  }

  /** A worker that was spawned before this agent existed. */
  adoptWorker(
    process: string,
    child: ChildProcess,
  ): { onLine: (stream: "stdout" | "stderr", line: string) => void; onExit: (exit: ChildExit) => void } {
    this.workers.adopt(process, child);
    this.#leases.workerStarted(process);
    return {
      onLine: (stream, line) => this.workers.lineOf(process, stream, line),
      onExit: (exit) => this.workers.exitOf(process, exit),
    };
  }

  /** Ends the node: workers first, then everything this process holds. Idempotent. */
  end(reason: string): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#sweep?.cancel();
    this.#memory?.close();
    this.workers.close(reason);
    this.#processes.close(reason);
    this.#peers.close();
    this.#bulk.close();
    this.#head.close(reason);
    void Promise.all(this.#listeners.map((listener) => listener.close())).then(() => {
      this.#parts.store.close();
      this.#parts.ended(reason);
    });
  }

  // -- processes of this node, and other agents ----------------------------------------------------------------------

  #admit(peer: Peer): Admission {
    switch (peer.kind) {
      case "agent": {
        const death = this.#peers.deathOf(peer.nodeId);
        if (death !== undefined) return { refused: failureOf(death) };
        if (isBulk(peer)) return { handler: this.#objects.bulkHandler, direct: true };
        return {
          handler: this.#peerHandler(),
          accepted: (channel) => this.#peers.accepted(peer.nodeId, channel),
        };
      }
      case "worker":
        return this.#admitWorker(peer);
      case "driver":
        return peer.nodeId === this.#nodeId ? this.#local(peer) : this.#far(peer);
      case "command":
        return { handler: commandHandler(this.#head, { ...this.#inspection.anywhere, ...this.#parts.disturbances }) };
      default:
        return { refused: failureOf(new InvalidArgumentError(`an agent takes no ${peer.kind}`)) };
    }
  }

  #admitWorker(peer: Peer): Admission {
    const worker = this.workers.get(peer.processId);
    if (worker === undefined) {
      return { refused: failureOf(new InvalidArgumentError(`worker ${peer.processId} was not started by this agent`)) };
    }
    const { handler, details, accepted, client } = this.#local(peer);
    return {
      handler, details,
      accepted: (channel) => {
        accepted(channel);
        this.workers.reported(peer.processId, channel, client);
        if (worker.jobId !== "") channel.send("adoptJob", this.#jobs.adoption(worker.jobId));
      },
    };
  }

  /** A driver on a machine without an agent, on a node of its own: nothing is shared with it but the channel. */
  #far(peer: Peer): Admission {
    const objects = this.#objects.farObjects({ process: peer.processId, node: peer.nodeId });
    const callee = new Callee({ ...this.#services.calls(peer), ...this.#services.farCalls(peer, objects) });
    this.#gateways.learn(peer.nodeId, this.#nodeId);
    return {
      handler: {
        messages: {
          ...this.#services.messages(peer),
          freeObjects: (message) => this.#objects.free(objects.abort(message), false),
          call: (call, channel) => callee.called(call, channel),
        },
        onTurn: (channel) => channel.flush(),
        onClose: (channel, failure) => {
          objects.close();
          this.#left(peer, channel, failure);
        },
      },
      details: toBytes(ProcessWelcome, {}),
      accepted: (channel) => this.#processes.add({ peer, channel, sharesMemory: false }),
    };
  }

  /** A process that shares this node's memory. */
  #local(peer: Peer) {
    const { store, claims } = this.#parts;
    const grant = store.admit(peer.processId);
    // Its job is told later: a worker adopts one, a driver asks for one in a call.
    const details = toBytes(ProcessWelcome, { store: grant, claimsPath: claims.path });
    const callee = new Callee({ ...this.#services.calls(peer), ...this.#services.storeCalls(grant.client, peer) });
    const handler: ChannelHandler = {
      messages: {
        ...this.#services.messages(peer), ...this.#services.storeMessages(grant.client),
        call: (call, channel) => callee.called(call, channel),
      },
      onTurn: (channel) => channel.flush(),
      onClose: (channel, failure) => {
        this.#objects.clientGone(grant.client);
        this.workers.leavesStore(peer.processId);
        store.expel(grant.client, this.#jobs.heirOf(this.#jobOf(peer)));
        this.#left(peer, channel, failure);
      },
    };
    const accepted = (channel: Channel) => this.#processes.add({ peer, channel, sharesMemory: true });
    return { handler, details, accepted, client: grant.client };
  }

  /** Its channel has ended. */
  #left(peer: Peer, channel: Channel, failure: Failure | undefined): void {
    this.caller.closed(channel, failure);
    this.#processes.remove(peer.processId);
    this.metrics.forget(peer.processId);
    this.#relays.processGone(peer.processId);
    if (peer.kind === "driver") this.#endings.driverGone(peer);
    else this.workers.left(peer.processId);
  }

  #peerHandler(): ChannelHandler {
    const callee = new Callee({
      placeActor: (body) => this.#actors.create(body as ActorPlacement),
      ...this.#objects.peerCalls,
      readChunk: (body, context) => (body.blob === "" ? this.#objects.read(body, context) : this.#environments.read(body)),
      findHead: () => this.#head.found(),
      ...this.#inspection.here,
      ...this.#kept.peerCalls(),
    });
    const nodeOf = (channel: Channel) => channel.peer.nodeId;
    return {
      messages: {
        leaseRequest: (request, channel) => this.#leases.requested(request, request.origin, nodeOf(channel)),
        leaseReturned: ({ lease, node }) => this.#leases.returned(lease, node),
        endLease: (message) => this.#leases.endWorker(message),
        leaseGranted: (granted, channel) => this.#leases.forwardGranted(granted, nodeOf(channel)),
        leaseRefused: (refused, channel) => this.#leases.forwardRefused(refused, nodeOf(channel)),
        processDied: (died) => this.#processes.channelOf(died.origin)?.send("processDied", died),
        leaseRevoked: (revoked) => this.#processes.channelOf(revoked.origin)?.send("leaseRevoked", revoked),
        freeObjects: (message) => this.#objects.free(message, message.node !== this.#nodeId),
        logLines: (lines) => this.#logs.arrived(lines),
        relay: (message) => this.#relays.pass(message),
        relayClosed: (message) => this.#relays.passClosed(message),
        call: (call, channel) => callee.called(call, channel),
        answer: (answer) => this.caller.answered(answer),
        pong: (_, channel) => this.#head.heard(channel),
        goodbye: () => {},
      },
      onBroken: (channel) => void this.#head.suspect(channel),
      onClose: (channel, failure) => {
        this.caller.closed(channel, failure);
        this.#peers.closed(nodeOf(channel), channel);
        this.#relays.nodeLost(nodeOf(channel), failure);
        if (this.#head.hub.via === channel) this.#head.hub.disconnect(failure);
      },
    };
  }

  #jobOf(peer: Peer): string {
    return this.#jobs.ofDriver(peer.processId) ?? this.workers.get(peer.processId)?.jobId ?? "";
  }

  /** Whom the code of a process is kept for: its job, or the detached actor it hosts. */
  #holderOf(peer: Peer): string {
    const worker = this.workers.get(peer.processId);
    return (worker?.detachedActor ? worker.actor : undefined) ?? this.#jobOf(peer);
  }

  // -- the rest ------------------------------------------------------------------------------------------------------

  get #nodeId(): string {
    return this.#parts.identity.nodeId;
  }

  /** Who takes relayed frames on this node: its processes, the head, and this agent itself. */
  #relayTarget(process: string): RelayTarget | undefined {
    const { hub } = this.#head;
    if (process === this.#parts.identity.processId) return { relay: (m) => hub.deliver(m), relayClosed: (m) => hub.closed(m) };
    const channel = process === this.#head.process ? this.#head.channel : this.#processes.channelOf(process);
    if (channel === undefined) return undefined;
    return { relay: (m) => channel.send("relay", m), relayClosed: (m) => channel.send("relayClosed", m) };
  }

  #viewChanged(nodes: readonly NodeInfo[]): void {
    this.#peers.viewChanged(nodes);
    this.#leases.viewChanged(nodes);
  }

  #details(): Draft<AgentDetails> {
    const { total, labels, host, isHead, metricsPort } = this.#parts;
    return { total, labels, address: this.#address, host, isHead, metricsPort };
  }

  #nodeInfo(): Draft<NodeInfo> {
    const { labels, host, isHead } = this.#parts;
    const { total, available, reclaimable, backlog } = this.#leases;
    return {
      id: this.#nodeId, address: this.#address, state: "ALIVE", total, available, reclaimable, labels, host, isHead, backlog,
    };
  }

  #scheduleSweep(): void {
    this.#sweep = this.#parts.seams.clock.after(SWEEP_EVERY_MS, () => {
      this.#objects.sweep();
      this.#kept.sweep();
      this.#scheduleSweep();
    });
  }
}
