// Links to the agents of other nodes: dialled on first need at the address the head's view tells.

import { once } from "../core/index.ts";
import { ConnectionError, NodeDiedError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { Channel, ChannelHandler, Identity, NodeInfo, Transport } from "../transport/index.ts";
import type { Gateways } from "./gateways.ts";

const DIAL_TIMEOUT_MS = 5000;
/** Who is new in the cluster may be heard from before the head has told of it. */
const NEWS_WAIT_MS = 2000;
const NEWS_LOOK_MS = 20;

export interface PeersParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly gateways: Gateways;
  readonly handler: () => ChannelHandler;
}

export class Peers {
  readonly #parts: PeersParts;
  readonly #channels = new Map<string, Channel>();
  readonly #dialling = new Map<string, Promise<Channel>>();
  #nodes = new Map<string, NodeInfo>();

  constructor(parts: PeersParts) {
    this.#parts = parts;
  }

  viewChanged(nodes: readonly NodeInfo[]): void {
    this.#nodes = new Map(nodes.map((node) => [node.id, node]));
    for (const node of nodes) if (node.state === "DEAD") this.#channels.get(node.id)?.close("the node was declared dead");
  }

  nodes(): NodeInfo[] {
    return [...this.#nodes.values()];
  }

  addressOf(node: string): string {
    return this.#nodes.get(node)?.address ?? "";
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
    others.delete(this.#parts.identity.nodeId);
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

  /** The agent of a node, or the one that a driver on a machine without an agent is at. */
  connect(wanted: string): Promise<Channel> {
    const node = this.#parts.gateways.of(wanted);
    const known = this.#channels.get(node);
    if (known?.open) return Promise.resolve(known);
    return once(this.#dialling, node, () => this.#dialNode(node));
  }

  close(): void {
    for (const channel of this.#channels.values()) channel.close("the agent ends");
  }

  async #dialNode(node: string): Promise<Channel> {
    return this.dial(await this.listensAt(node));
  }

  /** Where the agent listens that a node is reached through. */
  async listensAt(wanted: string): Promise<string> {
    await this.#news(wanted);
    const node = this.#parts.gateways.of(wanted);
    const info = this.#nodes.get(node);
    if (info === undefined) throw new ConnectionError(`node ${node} is not known to this one`, { nodeId: node });
    const death = this.deathOf(node);
    if (death !== undefined) throw death;
    if (info.address === "") throw new ConnectionError(`node ${node} has no address`, { nodeId: node });
    return info.address;
  }

  /** Waits, for a bounded time, until the head has told of a node. */
  async #news(node: string): Promise<void> {
    const { clock, gateways } = this.#parts;
    const until = clock.now() + NEWS_WAIT_MS;
    while (!this.#nodes.has(gateways.of(node)) && clock.now() < until) {
      await new Promise<void>((resolve) => void clock.after(NEWS_LOOK_MS, resolve));
    }
  }

  /** The agent of a node, or whoever is at that address when the node is not known or gone. */
  towards(node: string, address: string): Promise<Channel> {
    const known = this.#channels.get(node);
    return known?.open ? Promise.resolve(known) : this.dial(this.#nodes.get(node)?.address || address);
  }

  /** The agent at an address, whichever node it is. */
  async dial(address: string): Promise<Channel> {
    const { transport, identity, handler } = this.#parts;
    const channel = await transport.dial(address, identity, handler(), { timeoutMs: DIAL_TIMEOUT_MS });
    this.accepted(channel.peer.nodeId, channel);
    return this.#channels.get(channel.peer.nodeId) ?? channel;
  }
}
