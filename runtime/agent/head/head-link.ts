// The agent's link to the head: joins, reports, hears the view.
//
// A head may die and be started again. Meanwhile the node goes on: what is asked of the head waits, and is asked again of the
// next one; what only the head's memory knew is told anew. A node that is out of reach itself, or has no head for longer, ends:
// it cannot know whether it was declared dead, and a node that was must stop.

import { ConnectionError, DeadlineError, failureOf, HeadUnavailableError } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import {
  AgentDetails,
  Caller,
  fromBytes,
  HeadWelcome,
  RelayHub,
  toBytes,
  type ActorReport,
  type AgentSynced,
  type AnswerBody,
  type AnswerName,
  type AnswerOf,
  type CallName,
  type CallOf,
  type Channel,
  type ChannelHandler,
  type ClusterView,
  type Draft,
  type Failure,
  type Identity,
  type MessageHandlers,
  type NodeInfo,
  type SendOf,
  type Transport,
} from "../../transport/index.ts";
import { HeadAbsence } from "./head-absence.ts";
import type { HeadProcess } from "./head-process.ts";
import { HeadWatch } from "./head-watch.ts";

const REPORT_EVERY_MS = 1000;
/** A change of what is available is reported at most this often. */
const REPORT_SOON_MS = 10;
/** Less than processes wait for their agent: they hear which part of the cluster did not answer. */
const CALL_TIMEOUT_MS = 25_000;
const DIAL_TIMEOUT_MS = 10_000;
/** Deaths that are told again to the next head: the one before may have died with the news. */
const DEATHS_KEPT = 1000;

export interface HeadLinkParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly address: string;
  readonly caller: Caller;
  /** Questions wait so long for a head. */
  readonly waitMs: number;
  readonly details: () => Draft<AgentDetails>;
  readonly messages: MessageHandlers;
  /** The head's process, when that is a child of this one. */
  readonly headProcess?: Pick<HeadProcess, "up" | "end"> | undefined;
  /** An agent that knows the way to a head on another machine: that of the head's node, as far as it is known. */
  readonly dialAgent: (address: string, headNode: string) => Promise<Channel>;
  /** Where the agent of a node listens; "" when that is not known. */
  readonly addressOf: (node: string) => string;
  readonly node: () => Draft<NodeInfo>;
  readonly view: (view: ClusterView) => void;
  /** What only the memory of the head before knew: the actors of this node, and what else the node knows of. */
  readonly actors: () => Iterable<Draft<ActorReport>>;
  readonly known: () => Draft<AgentSynced>;
  /** Jobs that run, by the word of a head that was just joined. */
  readonly jobs: (running: readonly string[]) => void;
  /** The head's process is gone, and others may have to know. */
  readonly away: (process: string) => void;
  /** This node has to end. */
  readonly lost: (reason: string) => void;
}

export class HeadLink {
  readonly #parts: HeadLinkParts;
  readonly #absence: HeadAbsence;
  readonly #watch: HeadWatch;
  readonly #deaths: SendOf<"processDied">[] = [];
  #channel: Channel | undefined;
  #epoch = 0;
  #version = 0;
  #report: Timer | undefined;
  #soon: Timer | undefined;
  #closed = false;

  readonly #hub: RelayHub;

  constructor(parts: HeadLinkParts) {
    this.#parts = parts;
    const refused = { refused: failureOf(new ConnectionError("an agent takes no relayed channels")) };
    this.#hub = new RelayHub({ identity: parts.identity, clock: parts.clock, admit: () => refused });
    const { clock, waitMs, headProcess } = parts;
    this.#absence = new HeadAbsence({ clock, waitMs, rejoin: () => this.#join(), lost: (reason) => this.#lost(reason) });
    this.#watch = new HeadWatch({
      clock, isParent: this.#isParent, asked: () => (this.#isParent ? headProcess && this.channel : this.#hub.via),
      silent: (ms) => {
        if (!this.#isParent) return this.#lost(`the head's node has not answered this one for ${ms} ms, and may call it dead`);
        headProcess?.end(`it did not answer for ${ms} ms`);
      },
    });
  }

  /** Undefined while there is no head. */
  get channel(): Channel | undefined {
    return this.#channel?.open ? this.#channel : undefined;
  }

  /** The first time: what is wrong with the address or the token is said at once. */
  async join(): Promise<void> {
    await this.#join();
    this.#schedule();
    this.#watch.start();
  }

  /** The head's process, as others name it in relays. */
  get process(): string {
    return this.#channel?.peer.processId ?? "";
  }

  get node(): string {
    return this.#channel?.peer.nodeId ?? "";
  }

  /** Relays to this agent itself: frames of its own channel to the head. */
  get hub(): RelayHub {
    return this.#hub;
  }

  send<N extends "actorReport" | "quotaReport">(name: N, body: SendOf<N>): void {
    // One that has no channel to go over is told when there is a head again, with everything else of this node.
    this.#channel?.send(name, body);
  }

  /** Of what was asked whether it is there. */
  heard(channel: Channel): void {
    this.#watch.heard(channel);
  }

  /**
   * The connection to an agent broke. The head goes by what the agent of its own machine sees. Where that one has ended, the
   * head has, and a node that knows it need not fear to be called dead: it waits for the next.
   */
  async suspect(agent: Channel): Promise<void> {
    if (this.#isParent) return this.#channel?.send("nodeSuspected", { node: agent.peer.nodeId });
    if (agent !== this.#hub.via) return;
    const address = this.#parts.addressOf(agent.peer.nodeId) || this.#parts.address;
    const isDeserted = await this.#parts.transport.isDeserted?.(address);
    if (!isDeserted || agent !== this.#hub.via) return;
    this.#hub.disconnect(failureOf(new ConnectionError(`nobody listens at ${address.replace(/^tcp:/, "")} any more`)));
  }

  /** Also to the head after this one. */
  died(died: SendOf<"processDied">): void {
    this.#deaths.push(died);
    if (this.#deaths.length > DEATHS_KEPT) this.#deaths.shift();
    this.#channel?.send("processDied", died);
  }

  /** A question to the head, for at most the usual bound and `extraMs`. While there is no head it waits. */
  ask<N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A, extraMs = 0): Promise<AnswerOf<A>> {
    const ask = (channel: Channel) => {
      const timeoutMs = CALL_TIMEOUT_MS + extraMs;
      return this.#parts.caller.call(channel, name, body, expected, { timeoutMs }).catch((error: unknown) => {
        if (!(error instanceof DeadlineError)) throw error;
        throw unavailable(`the head${this.#where()} did not answer ${name} within ${timeoutMs} ms`, error);
      });
    };
    const { channel } = this;
    return channel !== undefined ? ask(channel) : this.present(name).then(ask);
  }

  /** The channel to the head, as soon as there is one. */
  present(what: string): Promise<Channel> {
    if (this.channel !== undefined) return Promise.resolve(this.channel);
    return this.#absence.over().then(() => this.present(what), (error: unknown) => {
      throw unavailable(`the cluster has no head for ${what}: the one${this.#where()} is gone (${failureOf(error).text})`, error);
    });
  }

  /** For an agent that seeks it: as soon as there is one. */
  async found(): Promise<AnswerBody> {
    const { peer } = await this.present("another node");
    return { headPlace: { process: peer.processId, node: peer.nodeId } };
  }

  /** Something was decided here: the head hears of it soon, also when as much is available as before. Others had guessed. */
  changed(): void {
    this.#soon ??= this.#parts.clock.after(REPORT_SOON_MS, () => {
      this.#soon = undefined;
      this.#version += 1;
      this.#send();
    });
  }

  close(reason: string): void {
    this.#closed = true;
    this.#report?.cancel();
    this.#soon?.cancel();
    this.#absence.close();
    this.#watch.close();
    this.#channel?.close(reason);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #join(): Promise<void> {
    const { transport, address, identity, details, headProcess } = this.#parts;
    const body = toBytes(AgentDetails, { ...details(), headEpoch: this.#epoch });
    const options = { details: body, timeoutMs: DIAL_TIMEOUT_MS };
    if (!this.#isParent) this.#joined(await this.#joinThroughAgent(address, options));
    else {
      await headProcess?.up();
      this.#joined(await transport.dial(address, identity, this.#handler(), options));
    }
  }

  #joined(channel: Channel): void {
    const { headEpoch, view, jobs } = fromBytes(HeadWelcome, channel.peer.details);
    if (this.#closed || headEpoch < this.#epoch) {
      channel.close("this node has seen a later head");
      throw new HeadUnavailableError(`a head of epoch ${headEpoch} answered, and this node has seen epoch ${this.#epoch}`);
    }
    if (!channel.open) throw new ConnectionError("the head was gone at once");
    const before = this.#channel;
    this.#channel = channel;
    this.#epoch = headEpoch;
    if (view !== undefined) this.#parts.view(view);
    this.#parts.jobs(jobs);
    for (const report of this.#parts.actors()) channel.send("actorReport", report);
    for (const died of this.#deaths) channel.send("processDied", died);
    channel.send("agentSynced", this.#parts.known());
    this.#send();
    if (before !== undefined) this.#parts.caller.resend(before, channel);
    this.#absence.ended();
  }

  /** One port a machine: the head of another machine is reached through any agent, over a relay. */
  async #joinThroughAgent(address: string, options: { details: Uint8Array; timeoutMs: number }): Promise<Channel> {
    const agent = await this.#parts.dialAgent(address, this.node).catch((error: unknown) => {
      if (!(error instanceof DeadlineError) || this.#channel === undefined) throw error;
      throw new ConnectionError(`the agent at ${address} is out of reach`, { outOfReach: true }, error);
    });
    const { process, node } = await this.#parts.caller.call(agent, "findHead", {}, "headPlace", { timeoutMs: CALL_TIMEOUT_MS });
    this.#hub.connect(agent);
    return this.#hub.open(process, node, this.#handler(), options);
  }

  #schedule(): void {
    this.#report = this.#parts.clock.after(REPORT_EVERY_MS, () => {
      // A report of an old version says that the node lives, and changes no view. While work waits here there shall be new views:
      // it asks again where it was refused.
      if (this.#parts.node().backlog !== 0) this.#version += 1;
      this.#send();
      if (!this.#closed) this.#schedule();
    });
  }

  #send(): void {
    if (this.#closed || !this.#channel?.open) return;
    this.#channel.send("nodeReport", { node: this.#parts.node(), version: this.#version });
  }

  #handler(): ChannelHandler {
    const { caller, messages, view } = this.#parts;
    return {
      messages: {
        ...messages,
        clusterView: view,
        pong: (_, channel) => this.heard(channel),
        answer: (answer) => caller.answered(answer),
      },
      onClose: (channel, failure) => {
        // Before it was joined, or after the next one was.
        if (channel !== this.#channel || this.#closed) return caller.closed(channel, failure);
        this.#gone(channel, failure);
      },
    };
  }

  #gone(channel: Channel, failure: Failure | undefined): void {
    // An orderly goodbye is meant for this node: it was declared dead.
    if (failure === undefined) return this.#lost("the head said goodbye");
    this.#parts.away(channel.peer.processId);
    const text = `the link to the head${this.#where()} broke: ${failure.text}`;
    this.#absence.begin(text, () => this.#parts.caller.closed(channel, failureOf(unavailable(text))));
  }

  #lost(reason: string): void {
    if (!this.#closed) this.#parts.lost(reason);
  }

  /** The head is on this machine, and reached without another agent. */
  get #isParent(): boolean {
    return !this.#parts.address.startsWith("tcp:");
  }

  #where(): string {
    return this.node === "" ? "" : ` on node ${this.node}`;
  }
}

function unavailable(text: string, cause?: unknown): HeadUnavailableError {
  const advice = "Running work goes on. Try again when there is one: its agent starts it again, `troupe status` shows whether";
  return new HeadUnavailableError(`${text}. ${advice}`, {}, cause);
}
