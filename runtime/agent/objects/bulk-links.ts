// Links that carry nothing but chunks of objects, so that messages between agents do not wait behind them: to each node that
// chunks are asked of one for those of large objects, and one for small objects, which do not wait behind large ones either,
// beside the link between the two agents, while they are in use. They are direct connections where the transport has such; then
// the bytes go from one store to the other without a copy in between.

import { ConnectionError, DeadlineError, failureOf } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import {
  Callee, type CallHandlers, type Caller, type CallOptions, type Channel, type ChannelHandler, type Chunk, type Draft,
  type Identity, type Peer, type ReadChunk, type Transport,
} from "../../transport/index.ts";
import type { Peers } from "../peers.ts";

const DIAL_TIMEOUT_MS = 5000;
/** A dead node is noticed by its link: this is for one that hangs, or a network on which a chunk takes so long. */
const CHUNK_TIMEOUT_MS = 60_000;
const IDLE_MS = 30_000;
/** Who is asked, and says nothing for so long, is asked whether it is there; after twice that it is not. */
const SILENT_MS = 4000;
/** What an agent says of itself on such a link. */
const BULK = Buffer.from("bulk");

export interface BulkLinksParts {
  readonly clock: Clock;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly caller: Caller;
  readonly peers: Pick<Peers, "listensAt">;
}

export type Lane = "large" | "small";

interface Bulk {
  readonly channel: Channel;
  asks: number;
  idle: Timer | undefined;
  watching: Timer | undefined;
  isSilent: boolean;
}

export class BulkLinks {
  readonly #parts: BulkLinksParts;
  readonly #links: Readonly<Record<Lane, Map<string, Promise<Bulk>>>> = { large: new Map(), small: new Map() };

  constructor(parts: BulkLinksParts) {
    this.#parts = parts;
  }

  /** `place`: where the chunk may be read to, if it comes beside its answer. */
  async ask(lane: Lane, node: string, body: Draft<ReadChunk>, place?: CallOptions["place"]): Promise<Chunk> {
    const { caller, clock } = this.#parts;
    const links = this.#links[lane];
    const link = await this.#linkTo(links, node);
    link.asks += 1;
    link.idle?.cancel();
    if (link.asks === 1) this.#watch(link, node);
    try {
      return await caller.call(link.channel, "readChunk", body, "chunk", { timeoutMs: CHUNK_TIMEOUT_MS, place });
    } catch (error) {
      // Nothing may be read to that place any more.
      if (error instanceof DeadlineError) broken(link.channel, `node ${node} did not send a chunk in time`);
      throw error;
    } finally {
      link.asks -= 1;
      if (link.asks === 0) link.watching?.cancel();
      if (link.asks === 0 && link.channel.open) link.idle = clock.after(IDLE_MS, () => end(links, node, "it is idle"));
    }
  }

  /** Whatever is asked of it fails now. */
  nodeDied(node: string): void {
    for (const links of Object.values(this.#links)) end(links, node, "the node was declared dead");
  }

  close(): void {
    for (const links of Object.values(this.#links)) {
      for (const node of [...links.keys()]) end(links, node, "the agent ends");
    }
  }

  /** A dead node is noticed by its link; a connection that leads nowhere only by its silence. */
  #watch(link: Bulk, node: string): void {
    link.isSilent = false;
    const look = () => {
      link.watching = this.#parts.clock.after(SILENT_MS, () => {
        if (link.isSilent) return broken(link.channel, `node ${node} did not say anything for ${2 * SILENT_MS} ms`);
        link.isSilent = true;
        link.channel.send("ping", {});
        look();
      });
    };
    look();
  }

  #linkTo(links: Map<string, Promise<Bulk>>, node: string): Promise<Bulk> {
    let link = links.get(node);
    if (link === undefined) {
      const forget = () => void (links.get(node) === dialled && links.delete(node));
      const dialled = this.#dial(node, forget);
      links.set(node, (link = dialled));
      dialled.catch(forget);
    }
    return link;
  }

  async #dial(node: string, ended: () => void): Promise<Bulk> {
    const { transport, identity, caller, peers } = this.#parts;
    let link: Bulk | undefined;
    const handler: ChannelHandler = {
      messages: { answer: (answer) => caller.answered(answer), pong: () => {}, goodbye: () => {} },
      place: (answer, length, channel) => caller.placeOf(answer, length, channel),
      onTurn: () => {
        if (link !== undefined) link.isSilent = false;
      },
      onClose: (channel, failure) => {
        ended();
        caller.closed(channel, failure);
      },
    };
    const address = await peers.listensAt(node);
    const options = { timeoutMs: DIAL_TIMEOUT_MS, details: BULK, direct: true };
    const channel = await transport.dial(address, identity, handler, options);
    return (link = { channel, asks: 0, idle: undefined, watching: undefined, isSilent: false });
  }
}

function end(links: Map<string, Promise<Bulk>>, node: string, reason: string): void {
  const link = links.get(node);
  links.delete(node);
  link?.then(({ channel, asks }) => {
    if (asks > 0) broken(channel, `the link to node ${node} was ended: ${reason}`);
    else channel.close(reason);
  }, () => {});
}

function broken(channel: Channel, text: string): void {
  channel.break(failureOf(new ConnectionError(text)));
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
