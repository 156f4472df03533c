// The agent's link to the head: joins, reports, hears the view.
//
// A head that is gone ends the node (the link itself bridges short breaks): it cannot know whether it was declared dead, and a node that was must stop.

import type { Clock, Timer } from "../seams.ts";
import {
  AgentDetails, Caller, fromBytes, HeadWelcome, toBytes,
  type Channel, type ChannelHandler, type ClusterView, type Draft, type Identity, type MessageHandlers, type NodeInfo, type SendOf,
  type Transport,
} from "../transport/index.ts";

const REPORT_EVERY_MS = 1000;
/** A change of what is available is reported at most this often. */
const REPORT_SOON_MS = 10;
const DIAL_TIMEOUT_MS = 10_000;

export interface HeadLinkParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly address: string;
  readonly caller: Caller;
  readonly details: () => Draft<AgentDetails>;
  readonly messages: MessageHandlers;
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

  constructor(parts: HeadLinkParts) {
    this.#parts = parts;
  }

  get channel(): Channel {
    if (this.#channel === undefined) throw new Error("the head link is used before it is joined");
    return this.#channel;
  }

  async join(): Promise<void> {
    const { transport, address, identity, details, view } = this.#parts;
    const options = { details: toBytes(AgentDetails, details()), timeoutMs: DIAL_TIMEOUT_MS };
    this.#channel = await transport.dial(address, identity, this.#handler(), options);
    const welcome = fromBytes(HeadWelcome, this.#channel.peer.details);
    if (welcome.view !== undefined) view(welcome.view);
    this.#send();
    this.#schedule();
  }

  send<N extends "processDied" | "actorReport" | "jobEnded">(name: N, body: SendOf<N>): void {
    this.#channel?.send(name, body);
  }

  /** What is available has changed: the head hears of it soon. */
  changed(): void {
    this.#soon ??= this.#parts.clock.after(REPORT_SOON_MS, () => {
      this.#soon = undefined;
      this.#send();
    });
  }

  close(reason: string): void {
    this.#closed = true;
    this.#report?.cancel();
    this.#soon?.cancel();
    this.#channel?.close(reason);
  }

  #schedule(): void {
    this.#report = this.#parts.clock.after(REPORT_EVERY_MS, () => {
      this.#send();
      if (!this.#closed) this.#schedule();
    });
  }

  #send(): void {
    if (this.#closed || !this.#channel?.open) return;
    this.#version += 1;
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
