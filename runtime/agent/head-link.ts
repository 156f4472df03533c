// The agent's link to the head: joins, reports, hears the view.
//
// A head that is gone ends the node (the link itself bridges short breaks): it cannot know whether it was declared dead, and
// a node that was must stop.

import { ConnectionError, failureOf } from "../errors.ts";
import type { Clock, Timer } from "../seams.ts";
import {
  AgentDetails,
  AgentWelcome,
  Caller,
  fromBytes,
  HeadWelcome,
  RelayHub,
  toBytes,
  type AnswerName,
  type AnswerOf,
  type CallName,
  type CallOf,
  type Channel,
  type ChannelHandler,
  type ClusterView,
  type Draft,
  type Identity,
  type MessageHandlers,
  type NodeInfo,
  type SendOf,
  type Transport,
} from "../transport/index.ts";

const REPORT_EVERY_MS = 1000;
/** A change of what is available is reported at most this often. */
const REPORT_SOON_MS = 10;
const CALL_TIMEOUT_MS = 30_000;
const DIAL_TIMEOUT_MS = 10_000;

export interface HeadLinkParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly address: string;
  readonly caller: Caller;
  readonly details: () => Draft<AgentDetails>;
  readonly messages: MessageHandlers;
  /** Dials an agent: the way to a head on another machine. */
  readonly dialAgent: (address: string) => Promise<Channel>;
  readonly node: () => Draft<NodeInfo>;
  readonly view: (view: ClusterView) => void;
  /** The head is gone for good, or refused this node. */
  readonly lost: (reason: string) => void;
}

export class HeadLink {
  readonly #parts: HeadLinkParts;
  #channel: Channel | undefined;
  #version = 0;
  #report: Timer | undefined;
  #soon: Timer | undefined;
  #closed = false;

  readonly #hub: RelayHub;

  constructor(parts: HeadLinkParts) {
    this.#parts = parts;
    const refused = { refused: failureOf(new ConnectionError("an agent takes no relayed channels")) };
    this.#hub = new RelayHub({ identity: parts.identity, clock: parts.clock, admit: () => refused });
  }

  get channel(): Channel {
    if (this.#channel === undefined) throw new Error("the head link is used before it is joined");
    return this.#channel;
  }

  async join(): Promise<void> {
    const { transport, address, identity, details, view } = this.#parts;
    const options = { details: toBytes(AgentDetails, details()), timeoutMs: DIAL_TIMEOUT_MS };
    this.#channel = address.startsWith("tcp:")
      ? await this.#joinThroughAgent(address, options)
      : await transport.dial(address, identity, this.#handler(), options);
    const welcome = fromBytes(HeadWelcome, this.#channel.peer.details);
    if (welcome.view !== undefined) view(welcome.view);
    this.#send();
    this.#schedule();
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

  send<N extends "processDied" | "actorReport" | "jobEnded">(name: N, body: SendOf<N>): void {
    this.#channel?.send(name, body);
  }

  /** A question to the head, for at most the usual bound and `extraMs`. */
  ask<N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A, extraMs = 0): Promise<AnswerOf<A>> {
    return this.#parts.caller.call(this.channel, name, body, expected, { timeoutMs: CALL_TIMEOUT_MS + extraMs });
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
    this.#channel?.close(reason);
  }

  /** One port a machine: the head of another machine is reached through any agent, over a relay. */
  async #joinThroughAgent(address: string, options: { details: Uint8Array; timeoutMs: number }): Promise<Channel> {
    const agent = await this.#parts.dialAgent(address);
    const { headProcess, headNode } = fromBytes(AgentWelcome, agent.peer.details);
    if (headProcess === "") throw new ConnectionError(`the agent at ${address} is not in a cluster yet`);
    this.#hub.connect(agent);
    return this.#hub.open(headProcess, headNode, this.#handler(), options);
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
    const { caller, messages, view, lost } = this.#parts;
    return {
      messages: {
        ...messages,
        clusterView: view,
        answer: (answer) => caller.answered(answer),
      },
      onClose: (channel, failure) => {
        caller.closed(channel, failure);
        if (!this.#closed) lost(failure === undefined ? "the head said goodbye" : `the link to the head broke: ${failure.text}`);
      },
    };
  }
}
