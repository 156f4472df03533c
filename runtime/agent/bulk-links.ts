// Links that carry nothing but chunks of large objects, so that neither messages between agents nor small objects wait behind
// them: one to each node that chunks are asked of, beside the link between the two agents, while it is in use.

import type { Clock, Timer } from "../seams.ts";
import {
  Callee, type CallHandlers, type Caller, type Channel, type ChannelHandler, type Chunk, type Draft, type Identity, type Peer,
  type ReadChunk, type Transport,
} from "../transport/index.ts";
import type { Peers } from "./peers.ts";

const DIAL_TIMEOUT_MS = 5000;
/** A dead node is noticed by its link: this is for one that hangs, or a network on which a chunk takes so long. */
const CHUNK_TIMEOUT_MS = 60_000;
const IDLE_MS = 30_000;
/** What an agent says of itself on such a link. */
const BULK = Buffer.from("bulk");

export interface BulkLinksParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly caller: Caller;
  readonly peers: Pick<Peers, "listensAt">;
}

interface Bulk {
  readonly channel: Channel;
  asks: number;
  idle: Timer | undefined;
}

export class BulkLinks {
  readonly #parts: BulkLinksParts;
  readonly #links = new Map<string, Promise<Bulk>>();

  constructor(parts: BulkLinksParts) {
    this.#parts = parts;
  }

  async ask(node: string, body: Draft<ReadChunk>): Promise<Chunk> {
    const link = await this.#linkTo(node);
    link.asks += 1;
    link.idle?.cancel();
    try {
      return await this.#parts.caller.call(link.channel, "readChunk", body, "chunk", { timeoutMs: CHUNK_TIMEOUT_MS });
    } finally {
      link.asks -= 1;
      if (link.asks === 0 && link.channel.open) link.idle = this.#parts.clock.after(IDLE_MS, () => this.#end(node, "it is idle"));
    }
  }

  /** Whatever is asked of it fails now. */
  nodeDied(node: string): void {
    this.#end(node, "the node was declared dead");
  }

  close(): void {
    for (const node of [...this.#links.keys()]) this.#end(node, "the agent ends");
  }

  #end(node: string, reason: string): void {
    const link = this.#links.get(node);
    this.#links.delete(node);
    link?.then(({ channel }) => channel.close(reason), () => {});
  }

  #linkTo(node: string): Promise<Bulk> {
    let link = this.#links.get(node);
    if (link === undefined) {
      const dialled = this.#dial(node, () => this.#forget(node, dialled));
      this.#links.set(node, (link = dialled));
      dialled.catch(() => this.#forget(node, dialled));
    }
    return link;
  }

  #forget(node: string, link: Promise<Bulk>): void {
    if (this.#links.get(node) === link) this.#links.delete(node);
  }

  async #dial(node: string, ended: () => void): Promise<Bulk> {
    const { transport, identity, caller, peers } = this.#parts;
    const handler: ChannelHandler = {
      messages: { answer: (answer) => caller.answered(answer), goodbye: () => {} },
      onClose: (channel, failure) => {
        ended();
        caller.closed(channel, failure);
      },
    };
    const address = await peers.listensAt(node);
    const channel = await transport.dial(address, identity, handler, { timeoutMs: DIAL_TIMEOUT_MS, details: BULK });
    return { channel, asks: 0, idle: undefined };
  }
}

/** The hello of a peer that wants a link of this kind. */
export function isBulk({ details }: Peer): boolean {
  return BULK.equals(details);
}

/** For who is asked. */
export function bulkHandler(readChunk: NonNullable<CallHandlers["readChunk"]>): ChannelHandler {
  const callee = new Callee({ readChunk });
  return { messages: { call: (call, channel) => callee.called(call, channel), goodbye: () => {} }, onClose: () => {} };
}
