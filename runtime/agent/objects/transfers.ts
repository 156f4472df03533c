// Copies of objects of other nodes on their way to this one: each once, however many want it.
//
// What fits one chunk is asked for at once; anything larger takes its turn (core/transfer-queue.ts) with what is wanted more
// or less urgently, within a bound on all bytes that are under way.

import { Gate, TransferQueue, type TransferKind } from "../../core/index.ts";
import { ObjectFetchTimeoutError, ObjectLostError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import { crc32, type ObjectOwner, type StoreClient } from "../../store/index.ts";
import type { Chunk, Stored } from "../../transport/index.ts";
import {
  CHUNK_BYTES, IncomingObject, isOutOfReach, lostWith, RETRY_REACH_MS, type TransferCounts, type TransferNetwork, VERDICT_WAIT_MS,
} from "./incoming-object.ts";

/** Bytes that this node has asked others for and does not have yet. */
export const IN_FLIGHT_BYTES = 64 * CHUNK_BYTES;
/** Objects of one chunk under way at once. */
const SMALL_AT_ONCE = 64;
/** Share of the store that objects on their way may take, of those that are equally or more urgent. */
const ACTIVE_SHARE = 0.5;
const SMALL_TRIES = 5;

export interface TransfersParts {
  readonly clock: Clock;
  readonly client: StoreClient;
  readonly capacity: number;
  readonly network: TransferNetwork;
}

/** A copy that is here, and the sums of its chunks. */
export interface Copied {
  readonly stored: Pick<Stored, "slot" | "generation">;
  readonly sums: readonly number[];
}

export interface Bringing {
  readonly source: Stored;
  readonly owner: ObjectOwner | undefined;
  readonly kind: TransferKind;
  /** Who else is getting it may have it from here; `whole` is told in the turn in which it is sealed. */
  readonly shared?: { readonly key: string; readonly whole: (copied: Copied) => void };
}

export class Transfers {
  readonly counts: TransferCounts = { transfers: 0, copiedBytes: 0, servedBytes: 0, damagedChunks: 0 };
  readonly #parts: TransfersParts;
  readonly #queue: TransferQueue<IncomingObject>;
  readonly #small = new Gate(SMALL_AT_ONCE);
  readonly #shared = new Map<string, IncomingObject>();
  #isPumping = false;

  constructor(parts: TransfersParts) {
    this.#parts = parts;
    this.#queue = new TransferQueue({
      inFlightBytes: IN_FLIGHT_BYTES, askBytes: CHUNK_BYTES, activeBytes: parts.capacity * ACTIVE_SHARE,
    });
  }

  get inFlightBytes(): number {
    return this.#queue.inFlight;
  }

  /** One on its way here that others may have parts of. */
  at(key: string): IncomingObject | undefined {
    return this.#shared.get(key);
  }

  /** Resolves when it is sealed here. */
  bring(bringing: Bringing): Promise<Copied> {
    this.counts.transfers += 1;
    return bringing.source.size <= CHUNK_BYTES ? this.#small.run(() => this.#bringSmall(bringing)) : this.#bringLarge(bringing);
  }

  raise(key: string, kind: TransferKind): void {
    const incoming = this.#shared.get(key);
    if (incoming === undefined) return;
    this.#queue.raise(incoming, kind);
    this.#pump();
  }

  /** The object was freed where it was made. */
  freed(key: string): void {
    this.#shared.get(key)?.fail(new ObjectLostError(`object ${key} was freed while it was copied`));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #bringSmall({ source, owner, shared }: Bringing): Promise<Copied> {
    const { bytes, sum } = await reaching(this.#parts, source.node, () => this.#readSmall(source));
    const target = await this.#parts.client.create(source.size);
    await target.write(0, bytes);
    const copied = { stored: target.seal(owner), sums: [sum] };
    shared?.whole(copied);
    return copied;
  }

  async #readSmall({ node, slot, generation, size }: Stored): Promise<Chunk> {
    for (let tries = 0; tries < SMALL_TRIES; tries += 1) {
      const chunk = await this.#parts.network.askSmall(node, { node, slot, generation, offset: 0, length: size });
      if (chunk.bytes.length === size && crc32(chunk.bytes) === chunk.sum) {
        this.counts.copiedBytes += size;
        return chunk;
      }
      this.counts.damagedChunks += 1;
    }
    throw new ObjectLostError(`object ${slot}/${generation} came damaged from node ${node} ${SMALL_TRIES} times`);
  }

  async #bringLarge({ source, owner, kind, shared }: Bringing): Promise<Copied> {
    const { clock, client, network } = this.#parts;
    const incoming = new IncomingObject({
      clock, source, network, isShared: shared !== undefined, counts: this.counts, changed: () => this.#pump(),
    });
    if (shared !== undefined) this.#shared.set(shared.key, incoming);
    this.#queue.add(incoming, kind, source.size);
    try {
      const begun = new Promise<void>((resolve) => this.#begins.set(incoming, resolve));
      this.#pump();
      await Promise.race([begun, incoming.ended]);
      const target = await client.create(source.size, "later");
      incoming.start(target);
      await incoming.ended;
      const copied = { stored: target.seal(owner), sums: incoming.sums };
      shared?.whole(copied);
      return copied;
    } catch (error) {
      incoming.fail(error);
      throw error;
    } finally {
      this.#begins.delete(incoming);
      if (shared !== undefined && this.#shared.get(shared.key) === incoming) this.#shared.delete(shared.key);
      this.#queue.remove(incoming);
      this.#pump();
    }
  }

  readonly #begins = new Map<IncomingObject, () => void>();

  #pump(): void {
    // What is asked may be answered, and change something, within the call.
    if (this.#isPumping) return;
    this.#isPumping = true;
    for (const incoming of this.#queue.begin()) this.#begins.get(incoming)?.();
    for (;;) {
      const granted = this.#queue.grant((incoming) => incoming.next());
      if (granted === undefined) break;
      const { item, ask } = granted;
      void item.carryOut(ask).then(() => {
        this.#queue.landed(ask.bytes);
        this.#pump();
      });
    }
    this.#isPumping = false;
  }
}

/** Tries until the node answers or is declared dead, and with it what it has. */
export async function reaching<T>(
  { clock, network }: { readonly clock: Clock; readonly network: Pick<TransferNetwork, "deathOf"> }, node: string,
  attempt: () => Promise<T>,
): Promise<T> {
  const until = clock.now() + VERDICT_WAIT_MS;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      const death = network.deathOf(node);
      if (death !== undefined) throw lostWith(death);
      if (!isOutOfReach(error)) throw error;
      if (clock.now() >= until) {
        throw new ObjectFetchTimeoutError(`node ${node}, which has the object, can't be reached`, {}, error);
      }
    }
    await new Promise<void>((resolve) => void clock.after(RETRY_REACH_MS, resolve, true));
  }
}
