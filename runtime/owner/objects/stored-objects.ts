// Opens objects of stores: those in this node's memory at once, spilled ones and those of other nodes through the agent. Where a
// copy of another node's object lies here is remembered: the next time nobody is asked.
//
// What no store has room for, neither in memory nor on disk, is still read: as a copy, in this process's own memory.

import { ConnectionError, ObjectLostError, ObjectStoreFullError, OutOfDiskError } from "../../errors.ts";
import { Recent, type TransferKind } from "../../core/index.ts";
import type { ObjectHandle, ReadableObject } from "../../store/index.ts";
import type { Draft, HeldRef, Stored } from "../../transport/index.ts";
import type { Home } from "../home.ts";

/** What the agent brought may have had to leave before this process came to look; rare, unless the loop was blocked. */
const TRIES = 100;
/** From this share of all it could pin a process looks whether some of it is garbage: sooner where the node is short of room. */
const PINNED_SHARE = 0.5;
const PINNED_SHARE_WHEN_SHORT = 0.1;
/** Copies whose places are remembered. */
const COPIES_MAX = 4096;

export interface StoredObjectsParts {
  readonly nodeId: string;
  readonly home: Home;
  /** Brings an object into this node's memory, and holds it until it is opened. */
  readonly fetch: (body: HeldRef & { readonly source: Stored; readonly kind: TransferKind }) => Promise<Stored>;
  /** Keeps the process alive until that is done. */
  readonly holding: <T>(work: Promise<T>) => Promise<T>;
}

export class StoredObjects {
  readonly #parts: StoredObjectsParts;
  /** By the place of what they are copies of. */
  readonly #copies = new Recent<string, ObjectHandle>(COPIES_MAX);

  constructor(parts: StoredObjectsParts) {
    this.#parts = parts;
  }

  /** Undefined when it has to be brought first. `fresh`: nobody in this process wrote to what it shows. */
  now(place: Draft<Stored>, fresh = false): ReadableObject | undefined {
    const handle = place.node === this.#parts.nodeId
      ? { slot: place.slot ?? 0, generation: place.generation ?? 0 }
      : this.#copies.get(keyOf(place));
    return handle && this.#parts.home.store?.open(handle, fresh);
  }

  /** In this node's store, whether in the memory or on disk; of another node's object, a copy in the memory. */
  isHere(place: Draft<Stored>): boolean {
    const { nodeId, home } = this.#parts;
    if (place.node === nodeId || home.far !== undefined) return true;
    const opened = this.now(place);
    opened?.release();
    return opened !== undefined;
  }

  /** Resolves when it is; what fits in no store is not brought. */
  async bring({ owner, ownerNode, object }: HeldRef, source: Draft<Stored>): Promise<void> {
    try {
      const place = await this.#parts.fetch({ owner, ownerNode, object, source: source as Stored, kind: "wait" });
      this.#copies.set(keyOf(source), place);
    } catch (error) {
      if (!(error instanceof ObjectStoreFullError || error instanceof OutOfDiskError)) throw error;
    }
  }

  /** Rejects with ObjectLostError when it is nowhere. */
  async open(
    { owner, ownerNode, object }: HeldRef, source: Draft<Stored>, fresh = false, kind: TransferKind = "get",
  ): Promise<ReadableObject> {
    const { nodeId, home, fetch } = this.#parts;
    if (home.far !== undefined) return this.#copy(source as Stored);
    if (this.#pinnedShare() > PINNED_SHARE) await home.garbage?.relieve();
    let opened = this.now(source, fresh);
    for (let tries = 0; opened === undefined && tries < TRIES; tries += 1) {
      if (source.node === nodeId && this.#pinnedShare() > PINNED_SHARE_WHEN_SHORT) await home.garbage?.relieve();
      let place: Stored;
      try {
        place = await fetch({ owner, ownerNode, object, source: source as Stored, kind });
      } catch (error) {
        if (!(error instanceof ObjectStoreFullError || error instanceof OutOfDiskError)) throw error;
        return this.#copy(source as Stored);
      }
      const { slot, generation } = place;
      if (source.node !== nodeId) this.#copies.set(keyOf(source), { slot, generation });
      opened = home.store?.open({ slot, generation }, fresh);
      if (opened !== undefined && home.open) home.agent.send("objectsOpened", { slots: [slot], generations: [generation] });
    }
    if (opened !== undefined) return opened;
    const objectId = `${owner}.${object.toString(36)}`;
    throw new ObjectLostError(`object ${objectId} does not stay in the store of node ${this.#parts.nodeId}`, { objectId });
  }

  async #copy(source: Stored): Promise<ReadableObject> {
    const { home, holding } = this.#parts;
    if (home.chunks === undefined) throw new ConnectionError("this process has not joined its node yet");
    const { slot, generation, size } = source;
    const whole = (await holding(home.chunks.read(source))).buffer as ArrayBuffer;
    const buffer = (offset = 0, length = size - offset) =>
      offset === 0 && length === size ? whole : whole.slice(offset, offset + length);
    return { slot, generation, size, buffer, release: () => {}, unreferenced: true };
  }

  #pinnedShare(): number {
    return this.#parts.home.store?.pinned().share ?? 0;
  }
}

function keyOf({ node, slot, generation }: Draft<Stored>): string {
  return `${node}/${slot}/${generation}`;
}
