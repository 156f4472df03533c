// Links to the agents of other nodes: dialled on first need at the address the head's view tells.

import { ConnectionError, NodeDiedError } from "../errors.ts";
import type { Channel, ChannelHandler, Identity, NodeInfo, Transport } from "../transport/index.ts";

const DIAL_TIMEOUT_MS = 5000;

export class Peers {
  readonly #transport: Transport;
  readonly #identity: Identity;
  readonly #handler: () => ChannelHandler;
  readonly #channels = new Map<string, Channel>();
  readonly #dialling = new Map<string, Promise<Channel>>();
  #nodes = new Map<string, NodeInfo>();
  /** Drivers without an agent on their machine have nodes of their own, which are reached through the node they joined at. */
  readonly #guests = new Map<string, string>();

  constructor(transport: Transport, identity: Identity, handler: () => ChannelHandler) {
    this.#transport = transport;
    this.#identity = identity;
    this.#handler = handler;
  }

  viewChanged(nodes: readonly NodeInfo[]): void {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    for (const node of nodes) if (node.state === "DEAD") this.#channels.get(node.id)?.close("the node was declared dead");
  }

  nodes(): NodeInfo[] {
    return [...this.#nodes.values()];
  }

  /** Why that node's agent has no business here any more: it was declared dead, and may not know. */
  deathOf(node: string): NodeDiedError | undefined {
    const info = this.#nodes.get(node);
    if (info?.state !== "DEAD") return undefined;
    return new NodeDiedError(`node ${node} was declared dead: ${info.reason}`, { nodeId: node });
  }

  /** Other living nodes, those in `first` before the rest. */
  likeliest(first: readonly string[]): string[] {
    const living = [...this.#nodes.values()].filter(({ state }) => state === "ALIVE").map(({ id }) => id);
    const others = new Set([...first, ...living]);
    others.delete(this.#identity.nodeId);
    return [...others].filter((id) => this.#nodes.has(id));
  }

  find(node: string): Channel | undefined {
    return this.#channels.get(node);
  }

  /** A peer dialled us. */
  accepted(node: string, channel: Channel): void {
    if (!this.#channels.has(node)) this.#channels.set(node, channel);
  }

  closed(node: string, channel: Channel): void {
    if (this.#channels.get(node) === channel) this.#channels.delete(node);
  }

  guestAt(guest: string, host: string): void {
    if (guest !== host && !this.#nodes.has(guest)) this.#guests.set(guest, host);
  }

  guestGone(guest: string): void {
    this.#guests.delete(guest);
  }

  /** The node whose agent passes on what is for processes of that one. */
  hostOf(node: string): string {
    return this.#nodes.has(node) ? node : (this.#guests.get(node) ?? node);
  }

  connect(to: string): Promise<Channel> {
    const node = this.hostOf(to);
    const known = this.#channels.get(node);
    if (known?.open) return Promise.resolve(known);
    const underway = this.#dialling.get(node);
    if (underway !== undefined) return underway;
    const dialling = this.#dialNode(node).finally(() => this.#dialling.delete(node));
    this.#dialling.set(node, dialling);
    return dialling;
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close("the agent ends");
  }

  async #dialNode(node: string): Promise<Channel> {
    const info = this.#nodes.get(node);
    if (info === undefined) throw new ConnectionError(`node ${node} is not known to this one`, { nodeId: node });
    const death = this.deathOf(node);
    if (death !== undefined) throw death;
    if (info.address === "") throw new ConnectionError(`node ${node} has no address`, { nodeId: node });
    return this.dial(info.address);
  }

  /** The agent at an address, whichever node it is. */
  async dial(address: string): Promise<Channel> {
    const channel = await this.#transport.dial(address, this.#identity, this.#handler(), { timeoutMs: DIAL_TIMEOUT_MS });
    this.accepted(channel.peer.nodeId, channel);
    return this.#channels.get(channel.peer.nodeId) ?? channel;
  }
}
