// What agents say to each other about copies of their objects.

import type { Caller, CallOptions, Chunk, CopySources, Draft, ReadChunk, Stored } from "../../transport/index.ts";
import type { NodeDiedError } from "../../errors.ts";
import type { TransferNetwork } from "./incoming-object.ts";
import type { BulkLinks } from "./bulk-links.ts";
import type { Peers } from "../peers.ts";

const SMALL_TIMEOUT_MS = 30_000;
const JOIN_TIMEOUT_MS = 10_000;
/** Every chunk was right: the comparison of the whole is not worth more. */
const LEAVE_TIMEOUT_MS = 3000;

export interface PeerNetworkParts {
  readonly caller: Caller;
  readonly peers: Pick<Peers, "connect" | "deathOf">;
  readonly bulk: BulkLinks;
}

export class PeerNetwork implements TransferNetwork {
  readonly #parts: PeerNetworkParts;

  constructor(parts: PeerNetworkParts) {
    this.#parts = parts;
  }

  async ask(node: string, body: Draft<ReadChunk>): Promise<Chunk> {
    const { caller, peers } = this.#parts;
    return caller.call(await peers.connect(node), "readChunk", body, "chunk", { timeoutMs: SMALL_TIMEOUT_MS });
  }

  askBulk(node: string, body: Draft<ReadChunk>, place: CallOptions["place"]): Promise<Chunk> {
    return this.#parts.bulk.ask("large", node, body, place);
  }

  askSmall(node: string, body: Draft<ReadChunk>): Promise<Chunk> {
    return this.#parts.bulk.ask("small", node, body);
  }

  async join({ node, slot, generation }: Stored, failed: readonly string[]): Promise<CopySources> {
    const { caller, peers } = this.#parts;
    const channel = await peers.connect(node);
    return caller.call(channel, "joinCopies", { slot, generation, failed }, "copySources", { timeoutMs: JOIN_TIMEOUT_MS });
  }

  async leave({ node, slot, generation }: Stored, sum: number | undefined): Promise<void> {
    const { caller, peers } = this.#parts;
    const body = { slot, generation, whole: sum !== undefined, sum: sum ?? 0 };
    await caller.call(await peers.connect(node), "leaveCopies", body, "done", { timeoutMs: LEAVE_TIMEOUT_MS });
  }

  deathOf(node: string): NodeDiedError | undefined {
    return this.#parts.peers.deathOf(node);
  }
}
