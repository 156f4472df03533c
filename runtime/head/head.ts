// The head: cluster metadata and nothing else. Membership and health of nodes, the actor directory, jobs and names.
//
// It sees no user value, runs no user code and knows no single object. Every agent holds one link to it. A head that starts anew
// finds in its storage what agents can't tell it (head-records.ts), and learns the rest from their reports.

import { LOOK_EVERY_MS, Membership, type MembershipEffect } from "../core/index.ts";
import { failureOf, HeadUnavailableError, InvalidArgumentError, NotFoundError, type TroupeError } from "../errors.ts";
import type { Seams, Timer } from "../seams.ts";
import {
  AgentDetails, Callee, Caller, fromBytes, HeadWelcome, RelayHub, toBytes,
  type Admission, type AgentSynced, type AnswerBody, type Channel, type ChannelHandler, type Draft, type Identity, type Listener,
  type NodeInfo, type NodeReport, type Peer, type ProcessDied,
} from "../transport/index.ts";
import type { OpenStorage } from "../storage/index.ts";
import type { GroupNode } from "../../scheduler/index.ts";
import { HeadActors } from "./head-actors.ts";
import { HeadCode, JOB_CODE_BYTES } from "./head-code.ts";
import { HeadEvents } from "./head-events.ts";
import { HeadGroups } from "./head-groups.ts";
import { HeadJobs } from "./head-jobs.ts";
import { HeadKeys } from "./head-keys.ts";
import { HeadQuotas } from "./head-quotas.ts";
import { afterKept, HeadRecords, onceKept } from "./head-records.ts";
import { HeadRoll } from "./head-roll.ts";
import { HeadLifetimes } from "./head-lifetimes.ts";
import { HeadState, nodeRow } from "./head-state.ts";

/** Views are sent to agents at most this often. */
const VIEW_EVERY_MS = 20;
export const HEAD_CALL_TIMEOUT_MS = 30_000;

export interface HeadParts {
  readonly seams: Seams;
  readonly identity: Identity;
  /** Bytes of code a job may ship. */
  readonly codeLimit?: number | undefined;
  /** Open: what outlives this head. */
  readonly storage: OpenStorage;
  /** It can't keep what it has to, another head has taken its storage over for one: its process has to end. */
  readonly failed?: (error: TroupeError) => void;
}

interface AgentLink {
  readonly node: string;
  readonly channel: Channel;
  info: Draft<NodeInfo>;
}

export class Head {
  readonly #parts: HeadParts;
  readonly #membership = new Membership();
  readonly #agents = new Map<string, AgentLink>();
  readonly #roll: HeadRoll;
  readonly caller: Caller;
  readonly #actors: HeadActors;
  readonly #jobs: HeadJobs;
  readonly #code: HeadCode;
  readonly #groups: HeadGroups;
  readonly #events: HeadEvents;
  readonly #keys: HeadKeys;
  readonly #quotas: HeadQuotas;
  readonly #lifetimes: HeadLifetimes;
  readonly #listeners: Listener[] = [];
  readonly #state: HeadState;
  /** Agents of other machines come through the agent of this one. */
  readonly #hub: RelayHub;
  #viewVersion = 0;
  #closed = false;
  #viewTimer: Timer | undefined;
  #tick: Timer | undefined;

  constructor(parts: HeadParts) {
    this.#parts = parts;
    this.caller = new Caller(parts.seams.clock);
    const records = new HeadRecords(parts.storage, (error) => this.#parts.failed?.(error));
    this.#roll = new HeadRoll(records);
    this.#jobs = new HeadJobs(records);
    this.#events = new HeadEvents(parts.seams.clock);
    this.#keys = new HeadKeys(parts.storage);
    this.#quotas = new HeadQuotas({ channelOf: (node) => this.#agents.get(node)?.channel });
    this.#lifetimes = new HeadLifetimes({
      clusterId: parts.identity.clusterId, random: parts.seams.random, storage: parts.storage,
      scopeEnded: (ended) => this.#broadcast((channel) => channel.send("scopeEnded", ended)),
    });
    this.#actors = new HeadActors({
      clock: parts.seams.clock,
      records,
      whole: (then) => this.#roll.whole(then),
      random: parts.seams.random,
      caller: this.caller,
      channelOf: (node) => this.#agents.get(node)?.channel,
      nodes: () => [...this.#agents.values()].map((agent) => agent.info as NodeInfo),
      endOf: (strategy) => this.#groups.endOf(strategy),
      changed: (info, spec) => {
        this.#code.actorReported(info, spec);
        const { actor, className, failure } = info;
        if (info.state === "RESTARTING") this.#events.tell("actor-restarting", actor, failure?.text ?? className);
        if (info.state !== "DEAD") return;
        this.#events.tell("actor-died", actor, failure?.text ?? className);
        this.#groups.holderGone(info.actor, "the actor that made it ended");
        if (info.detached) this.#releaseCode(info.jobId);
      },
    });
    const isAlive = (holder: string) => this.#jobs.isRunning(holder) || this.#actors.isAlive(holder);
    this.#groups = new HeadGroups({
      clock: parts.seams.clock, records, headEpoch: parts.storage.epoch, caller: this.caller, isAlive,
      changed: (kind, id, text) => this.#events.tell(kind, id, text),
      channelOf: (node) => this.#agents.get(node)?.channel,
      nodes: () => [...this.#agents.values()].map(({ node, info }) => ({ ...info, state: this.#stateOf(node) }) as GroupNode),
    });
    this.#code = new HeadCode({
      clock: parts.seams.clock, records, limit: parts.codeLimit ?? JOB_CODE_BYTES,
      // Nodes hold the code in objects that they keep.
      isAlive: (holder) => isAlive(holder) || this.#actors.outlive(holder) || this.#agents.has(holder),
      freed: (ids) => this.#broadcast((channel) => channel.send("codeFreed", { ids })),
    });
    this.#state = new HeadState({
      caller: this.caller,
      agents: () => [...this.#agents.values()].map(({ node, channel }) => [node, channel] as const),
      own: {
        actors: () => this.#actors.rows(), jobs: () => this.#jobs.rows(), groups: () => this.#groups.rows(),
        events: () => this.#events.rows(),
        nodes: () => this.#view().nodes.map(nodeRow),
      },
    });
    this.#hub = new RelayHub({ identity: parts.identity, clock: parts.seams.clock, admit: (peer) => this.#admit(peer) });
    for (const { jobId, quota } of this.#jobs.running()) this.#quotas.begun(jobId, quota);
    this.#roll.restore(this.#membership, parts.identity.nodeId);
    this.#roll.onceWhole(() => this.#goOn());
    for (const node of this.#roll.missing()) void this.#verify(node);
    this.#scheduleTick();
  }

  async listen(address: string): Promise<Listener> {
    const { seams, identity } = this.#parts;
    const listener = await seams.transport.listen(address, identity, (peer) => this.#admit(peer));
    this.#listeners.push(listener);
    return listener;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#tick?.cancel();
    this.#viewTimer?.cancel();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    await this.#parts.storage.close();
  }

  // -- agents ------------------------------------------------------------------------------------------------------

  #admit(peer: Peer): Admission {
    if (peer.kind !== "agent") {
      return {
        refused: failureOf(
          new InvalidArgumentError(`the head takes agents; a ${peer.kind} joins through the agent of a node`),
        ),
      };
    }
    const details = fromBytes(AgentDetails, peer.details);
    const { epoch } = this.#parts.storage;
    if (details.headEpoch > epoch) {
      const text = `this head, of epoch ${epoch}, is older than one node ${peer.nodeId} knows, of epoch ${details.headEpoch}`;
      return { refused: failureOf(new HeadUnavailableError(text)) };
    }
    const refusal = this.#membership
      .step({ kind: "joined", node: peer.nodeId, process: peer.processId })
      .find((effect) => effect.kind === "refuse");
    if (refusal !== undefined) return { refused: failureOf(new InvalidArgumentError(refusal.text)) };
    return {
      handler: this.#handler(peer),
      details: toBytes(HeadWelcome, { headEpoch: epoch, view: this.#view(), jobs: this.#jobs.running().map((job) => job.jobId) }),
      accepted: (channel) => this.#joined(peer, channel, details),
    };
  }

  #joined(peer: Peer, channel: Channel, details: AgentDetails): void {
    const info = {
      id: peer.nodeId, address: details.address, host: details.host, state: "ALIVE", total: details.total,
      available: details.total, reclaimable: details.total, labels: details.labels, isHead: details.isHead, pid: peer.pid,
      metricsPort: details.metricsPort, process: peer.processId,
    };
    if (details.isHead) this.#hub.connect(channel);
    for (const job of this.#jobs.running()) channel.send("adoptJob", job);
    this.#agents.set(peer.nodeId, { node: peer.nodeId, channel, info });
    const place = details.address === "" ? details.host : details.address.replace(/^tcp:/, "");
    if (this.#roll.joined(info)) this.#events.tell("node-joined", peer.nodeId, place);
    if (details.isHead) for (const node of this.#roll.formerHomes(peer.nodeId)) this.#formerHome(node);
    this.#viewSoon();
  }

  #handler(peer: Peer): ChannelHandler {
    const node = peer.nodeId;
    const callee = new Callee({
      registerJob: (body) => {
        const isNew = !this.#jobs.isRunning(body.details?.jobId ?? "");
        const job = this.#jobs.register(body);
        if (isNew) this.#events.tell("job-started", job.jobId, body.details?.entry ?? "");
        this.#quotas.begun(job.jobId, job.quota);
        return afterKept(this.#jobs.kept, () => {
          this.#broadcast((channel) => channel.send("adoptJob", job));
          return { registeredJob: { jobId: job.jobId, namespace: job.namespace } };
        });
      },
      createActor: ({ spec }) => this.#actors.claim(spec as NonNullable<typeof spec>, node),
      resolveActor: (body) => this.#actors.resolve(body),
      killActor: (body) => this.#actors.kill(body),
      exportCode: (body) => this.#code.export(body),
      fetchCode: (body) => this.#code.fetch(body),
      createGroup: (body) => {
        const { jobId = "", bundles = [] } = body.spec ?? {};
        this.#quotas.checkGroup(jobId, bundles.map(({ resources }) => resources));
        return this.#groups.create(body, node);
      },
      findGroup: (body) => this.#groups.find(body, node),
      removeGroup: (body) => this.#groups.remove(body),
      commitKeys: (body, context) => this.#keys.commit(body, context),
      readKeys: (body) => this.#keys.read(body),
      ...this.#lifetimes.calls(),
      drainNode: (body) => this.#drain(body.node),
      listState: async (body) => ({ stateRows: await this.#state.list(body) }),
    });
    return {
      messages: {
        nodeReport: (report) => this.#reported(node, report),
        actorReport: (report) => this.#actors.reported(report),
        quotaReport: (report) => this.#quotas.reported(node, report),
        processDied: (died) => this.#processDied(died),
        agentSynced: (synced) => this.#synced(node, synced),
        nodeSuspected: (suspected) => void this.#verify(suspected.node),
        call: (call, channel) => callee.called(call, channel),
        answer: (answer) => this.caller.answered(answer),
        relay: (message) => this.#hub.deliver(message),
        relayClosed: (message) => this.#hub.closed(message),
        goodbye: () => {},
      },
      onClose: (channel, failure) => {
        this.caller.closed(channel, failure);
        if (this.#agents.get(node)?.channel !== channel) return;
        if (failure === undefined) this.#left(node, "its agent left the cluster");
        else this.#linkLost(node, `the link to its agent broke: ${failure.text}`);
      },
    };
  }

  #reported(node: string, report: NodeReport): void {
    const agent = this.#agents.get(node);
    if (agent === undefined || report.node === undefined) return;
    const { available, reclaimable, total, backlog } = report.node;
    agent.info = { ...agent.info, available, reclaimable, total, backlog };
    this.#do(this.#membership.step({ kind: "reported", node, version: report.version }));
  }

  #do(effects: MembershipEffect[]): void {
    if (this.#closed) return;
    for (const effect of effects) {
      if (effect.kind === "viewChanged") this.#viewSoon();
      else if (effect.kind === "died") this.#nodeDied(effect.node, effect.reason);
    }
  }

  #nodeDied(node: string, reason: string): void {
    const agent = this.#agents.get(node);
    const info = agent?.info ?? this.#roll.find(node);
    this.#agents.delete(node);
    const kept = info === undefined ? undefined : this.#roll.died({ ...info, state: "DEAD", reason, available: {} });
    agent?.channel.close("declared dead");
    onceKept(kept, () => this.#nodeIsDead(node, reason));
  }

  #nodeIsDead(node: string, reason: string): void {
    this.#events.tell("node-died", node, reason);
    this.#broadcast((channel) => channel.send("nodeDied", { node, reason }));
    this.#code.nodeDied(node);
    this.#code.release(node);
    this.#groups.nodeGone(node, `it died: ${reason}`);
    this.#quotas.nodeGone(node);
    this.#actors.nodeDied(node, reason);
    for (const { id, driverNode } of this.#jobs.ofNode(node)) {
      const text = `its driver's node ${node} died`;
      // A driver that was reached through it is out of reach like everything there.
      if (driverNode !== node) this.#broadcast((channel) => channel.send("nodeDied", { node: driverNode, reason: text }));
      this.#jobEnded(id, text);
    }
    this.#roll.synced(node);
  }

  /** A node whose agent's process has ended is not waited for. One that is only out of reach is. */
  async #verify(node: string): Promise<void> {
    const address = (this.#agents.get(node)?.info ?? this.#roll.find(node))?.address ?? "";
    if (address === "" || !(await this.#parts.seams.transport.isDeserted?.(address))) return;
    this.#linkLost(node, `nobody listens at ${address.replace(/^tcp:/, "")} any more`);
  }

  #formerHome(node: string): void {
    this.#left(node, "the head that was there was started on another node");
  }

  /** This head ends with the agent of its own node: the next one says what became of that node, and of what lived there. */
  #linkLost(node: string, reason: string): void {
    if (node !== this.#parts.identity.nodeId) this.#left(node, reason);
  }

  #left(node: string, reason: string): void {
    this.#do(this.#membership.step({ kind: "linkLost", node, reason }));
  }

  /** An agent has told everything that lives on its node: at its first join nothing, later what it had told the head before. */
  #synced(node: string, { groups, draining, quotas }: AgentSynced): void {
    for (const report of quotas) this.#quotas.reported(node, report);
    if (draining) this.#do(this.#membership.step({ kind: "draining", node }));
    this.#groups.knownAt(node, groups);
    this.#actors.synced(node);
    this.#roll.synced(node);
  }

  /** All that an earlier head knew is back or dead. What it had not come to do is done now. */
  #goOn(): void {
    const isGone = (holder: string) => !this.#jobs.isRunning(holder) && !this.#actors.isAlive(holder);
    const reason = "what it belongs to has ended";
    for (const holder of [...this.#groups.holders()].filter(isGone)) this.#groups.holderGone(holder, reason);
    const ended = [...this.#code.holders()].filter((holder) => isGone(holder) && !this.#agents.has(holder));
    for (const holder of ended) this.#releaseCode(holder);
    this.#actors.allSynced();
    this.#quotas.open();
  }

  #processDied(died: ProcessDied): void {
    this.#broadcast((channel, node) => {
      if (node !== died.node) channel.send("processDied", died);
    });
    const job = this.#jobs.ofProcess(died.process);
    if (job !== undefined) this.#jobEnded(job, "its driver ended");
  }

  /** Of a job that has ended, once no detached actor works with its functions any more. */
  #releaseCode(jobId: string): void {
    if (!this.#jobs.isRunning(jobId) && !this.#actors.outlive(jobId)) this.#code.release(jobId);
  }

  #jobEnded(jobId: string, reason: string): void {
    if (!this.#jobs.end(jobId, reason)) return;
    onceKept(this.#jobs.kept, () => this.#jobIsOver(jobId, reason));
  }

  #jobIsOver(jobId: string, reason: string): void {
    this.#events.tell("job-ended", jobId, reason);
    this.#broadcast((channel) => channel.send("jobEnded", { jobId, reason }));
    this.#releaseCode(jobId);
    this.#quotas.ended(jobId);
    this.#groups.holderGone(jobId, `its job ended: ${reason}`);
  }

  /** It gets no new work; what runs there goes on. A repeat changes nothing. */
  async #drain(node: string): Promise<AnswerBody> {
    const agent = this.#agents.get(node);
    if (agent === undefined) throw new NotFoundError(`node ${node} is not one of this cluster's`, { nodeId: node });
    if (this.#stateOf(node) === "ALIVE") this.#events.tell("node-draining", node, "it gets no new work");
    this.#do(this.#membership.step({ kind: "draining", node }));
    this.#groups.nodeGone(node, "it is drained");
    return { done: await this.caller.call(agent.channel, "drainNode", { node }, "done", { timeoutMs: HEAD_CALL_TIMEOUT_MS }) };
  }

  // -- view --------------------------------------------------------------------------------------------------------

  #view(): { nodes: Draft<NodeInfo>[]; version: number } {
    const nodes = [...this.#agents.values()].map((agent) => ({
      ...agent.info,
      reclaimable: {},
      state: this.#stateOf(agent.node),
    }));
    return { nodes: [...nodes, ...this.#roll.rows()], version: this.#viewVersion };
  }

  #stateOf(node: string): string {
    return this.#membership.nodes.get(node)?.state ?? "ALIVE";
  }

  #viewSoon(): void {
    this.#viewTimer ??= this.#parts.seams.clock.after(VIEW_EVERY_MS, () => {
      this.#viewTimer = undefined;
      this.#viewVersion += 1;
      const view = this.#view();
      this.#broadcast((channel) => channel.send("clusterView", view));
      this.#groups.viewChanged();
    });
  }

  #scheduleTick(): void {
    const { clock } = this.#parts.seams;
    this.#tick = clock.after(LOOK_EVERY_MS, () => {
      this.#do(this.#membership.step({ kind: "tick", now: clock.now() }));
      this.#scheduleTick();
    });
  }

  #broadcast(tell: (channel: Channel, node: string) => void): void {
    for (const agent of this.#agents.values()) if (agent.channel.open) tell(agent.channel, agent.node);
  }
}

