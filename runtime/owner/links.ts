// Channels to the other processes this one talks to directly: one a peer process, dialled on first need, kept while both live.
//
// Inside a machine a process is reached at its own Unix socket in the session's folder; on other machines through a relay over
// the two agents. Which of the two it is nobody above this file knows.

import { once, Recent } from "../core/index.ts";
import { ConnectionError } from "../errors.ts";
import type { Channel, ChannelHandler, Failure, Identity, MessageHandlers, Transport } from "../transport/index.ts";

export interface ProcessAddress {
  readonly process: string;
  readonly node: string;
}

/** Templates that both sides of a channel remember: with one more, both forget the one that was sent first. */
export const TEMPLATES_A_LINK = 4096;

/** A channel and what was already said on it. */
export class Link {
  readonly process: string;
  readonly node: string;
  readonly channel: Channel;
  readonly #introduced = new Recent<number, true>(TEMPLATES_A_LINK);

  constructor(process: string, node: string, channel: Channel) {
    this.process = process;
    this.node = node;
    this.channel = channel;
  }

  /** True when the other side does not know the template, and has to be sent it now. */
  introduce(template: number): boolean {
    if (this.#introduced.has(template)) return false;
    this.#introduced.set(template, true);
    return true;
  }
}

export interface LinkTableParts {
  readonly transport: Transport;
  readonly identity: Identity;
  readonly sessionDir: string;
  readonly dialTimeoutMs: number;
  readonly messages: MessageHandlers;
  /** Opens a relayed channel to a process of another machine. */
  readonly relay: (address: ProcessAddress, handler: ChannelHandler) => Promise<Channel>;
  readonly onTurn: (link: Link) => void;
  readonly onClosed: (link: Link, failure: Failure | undefined) => void;
}

/** The folder whose agent listens at an address; "" for one on another machine. */
export function sessionDirOf(agentAddress: string): string {
  const isSocket = agentAddress.startsWith("unix:") && agentAddress.endsWith(AGENT_SOCKET);
  return isSocket ? agentAddress.slice("unix:".length, -AGENT_SOCKET.length) : "";
}

/** Where an agent listens for the processes of its machine. */
const AGENT_SOCKET = "/agent.sock";

export function processSocket(sessionDir: string, process: string): string {
  return `unix:${sessionDir}/${process}.sock`;
}

export class LinkTable {
  readonly #parts: LinkTableParts;
  readonly #links = new Map<string, Link>();
  readonly #byChannel = new Map<Channel, Link>();
  readonly #dialling = new Map<string, Promise<Link>>();
  /** Turns in which something was received, ever. */
  turns = 0;
  #closed = false;

  constructor(parts: LinkTableParts) {
    this.#parts = parts;
  }

  find(process: string): Link | undefined {
    return this.#links.get(process);
  }

  /** The link of a channel; a peer's first message may overtake the end of our own dialling. */
  of(channel: Channel): Link {
    return this.#byChannel.get(channel) ?? this.#add(channel, channel.peer.nodeId);
  }

  /** The link to a process, dialled when there is none. Rejects with a typed error when the process can't be reached in time. */
  connect(address: ProcessAddress): Promise<Link> {
    const known = this.#links.get(address.process);
    if (known !== undefined) return Promise.resolve(known);
    return once(this.#dialling, address.process, () => this.#dial(address));
  }

  /** The handler for a channel that a peer dialled to us. */
  accept(): { handler: ChannelHandler; accepted: (channel: Channel) => void } {
    return { handler: this.#handler(), accepted: (channel) => this.#add(channel, channel.peer.nodeId) };
  }

  close(): void {
    this.#closed = true;
    for (const channel of [...this.#byChannel.keys()]) channel.close("the session ended");
  }

  values(): IterableIterator<Link> {
    return this.#byChannel.values();
  }

  async #dial(address: ProcessAddress): Promise<Link> {
    const { transport, identity, sessionDir, dialTimeoutMs, relay } = this.#parts;
    const handler = this.#handler();
    const channel =
      address.node === identity.nodeId
        ? await transport.dial(processSocket(sessionDir, address.process), identity, handler, { timeoutMs: dialTimeoutMs })
        : await relay(address, handler);
    if (this.#closed) {
      channel.close("the session ended");
      throw new ConnectionError("the session ended while a process was dialled");
    }
    // Both sides may dial at once; each keeps using the first link it has, so each direction stays one ordered stream.
    this.of(channel);
    return this.#links.get(address.process) as Link;
  }

  #add(channel: Channel, node: string): Link {
    const link = new Link(channel.peer.processId, node, channel);
    this.#byChannel.set(channel, link);
    if (!this.#links.has(link.process)) this.#links.set(link.process, link);
    return link;
  }

  #handler(): ChannelHandler {
    return {
      messages: this.#parts.messages,
      onTurn: (channel) => {
        this.turns += 1;
        const link = this.#byChannel.get(channel);
        if (link !== undefined) this.#parts.onTurn(link);
      },
      onClose: (channel, failure) => {
        const link = this.#byChannel.get(channel);
        if (link === undefined) return;
        this.#byChannel.delete(channel);
        if (this.#links.get(link.process) === link) this.#links.delete(link.process);
        this.#parts.onClosed(link, failure);
      },
    };
  }
}
