// Objects that leave the node's memory for its spill file, and come back when somebody reads them.
//
// A copy in the file stays when its object was restored, so the next time it leaves costs nothing. What is read from the file is
// compared with the sums of what was written; nothing wrong is ever handed out. An object whose only bytes here are damaged is
// gone from this node: who looks for it finds a copy elsewhere, or makes it again.

import { Recent } from "../../core/index.ts";
import { ObjectLostError } from "../../errors.ts";
import { BLOCK_BYTES, crc32, PAGE, SpillBook } from "../../store/index.ts";
import type {
  ObjectHandle, Overflow, Restoration, SealedObject, SpilledCopy, SpillStorage, StoreHost, StoreUnit,
} from "../../store/index.ts";

/** Objects that are written at once. */
const WRITES_AT_ONCE = 4;
/** Blocks of one object that are read at once. */
const READS_AT_ONCE = 3;
/** A read that failed is tried again: what was written is still what is wanted. */
const READ_TRIES = 2;
/** Somebody asked so often for what the disk did not give: it never will. */
const UNREADABLE_TIMES = 3;

const UNREAD_KEPT = 10_000;

/** The file, and where in it everything lies. */
export class SpillSpace {
  readonly storage: SpillStorage;
  readonly book: SpillBook;
  readonly overflow: Overflow;

  constructor(storage: SpillStorage) {
    this.storage = storage;
    this.book = new SpillBook((page, pages) => storage.punch(page * PAGE, pages * PAGE));
    this.overflow = { path: storage.path, freed: (page, pages) => this.book.release(page, pages) };
  }

  /** A range with blocks on disk. Throws OutOfDiskError; undefined when this space can't be mapped. */
  reserve(pages: number, align: number): number | undefined {
    if (this.storage.path === "") return undefined;
    const page = this.book.reserve(pages, align);
    if (page === undefined) return undefined;
    try {
      this.storage.reserve(page * PAGE, pages * PAGE);
    } catch (error) {
      this.book.release(page, pages);
      throw error;
    }
    return page;
  }
}

export class AgentSpilling {
  readonly #host: StoreHost;
  readonly #space: SpillSpace;
  /** Copies of other nodes' objects are dropped: they are fetched again. True when it was one. */
  readonly #dropCopy: (handle: ObjectHandle) => boolean;
  readonly #isCopy: (handle: ObjectHandle) => boolean;
  /** How often these could not be read. */
  readonly #unread = new Recent<string, number>(UNREAD_KEPT);
  #spilled = 0;
  #restored = 0;

  constructor(
    host: StoreHost, space: SpillSpace, dropCopy: (handle: ObjectHandle) => boolean,
    isCopy: (handle: ObjectHandle) => boolean = () => false,
  ) {
    this.#host = host;
    this.#space = space;
    this.#dropCopy = dropCopy;
    this.#isCopy = isCopy;
  }

  /** Bytes written and read since the start, and bytes that lie in the file. */
  stats(): { readonly spilledBytes: number; readonly restoredBytes: number; readonly spillFileBytes: number } {
    return { spilledBytes: this.#spilled, restoredBytes: this.#restored, spillFileBytes: this.#space.book.bytes };
  }

  /** How many objects left. Rejects when nothing could be written; what left until then has left. */
  spill(units: readonly StoreUnit[]): Promise<number> {
    return this.#writing(units, (object) => this.#leave(object));
  }

  /** Writes copies of objects that stay: when there has to be room they leave at once. Rejects when nothing could be written. */
  async copyAhead(units: readonly StoreUnit[]): Promise<void> {
    await this.#writing(units, async (object) => (
      !this.#isCopy(object) && !this.#space.book.has(object) && await this.#write(object)
    ));
  }

  /** Fills the new range of an object and ends it. Rejects with ObjectLostError when its copy is damaged. */
  async restore(handle: ObjectHandle, range: Restoration): Promise<void> {
    const copy = this.#space.book.reading(handle);
    try {
      if (copy === undefined) throw lost(handle, "its copy on disk is gone");
      await range.populate();
      await this.#readBlocks(handle, copy, { from: 0, to: copy.sums.length }, range);
    } catch (error) {
      range.abort();
      this.#giveUp(handle, error);
      throw error;
    } finally {
      if (copy !== undefined) this.#space.book.read(handle);
    }
    this.#restored += copy.size;
    range.commit();
  }

  /** A part of a spilled object, from the file. Undefined when it has no copy there. */
  async readRange(
    handle: ObjectHandle, offset: number, length: number,
  ): Promise<{ bytes: Uint8Array; total: number } | undefined> {
    const copy = this.#space.book.reading(handle);
    if (copy === undefined) return undefined;
    try {
      const end = Math.min(offset + length, copy.size);
      const first = Math.floor(offset / BLOCK_BYTES);
      const bytes = new Uint8Array(Math.min(Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES, copy.size) - first * BLOCK_BYTES);
      const chunk = (at: number, size: number) => bytes.subarray(at - first * BLOCK_BYTES, at - first * BLOCK_BYTES + size);
      await this.#readBlocks(handle, copy, { from: first, to: Math.ceil(end / BLOCK_BYTES) }, { chunk });
      this.#restored += bytes.length;
      return { bytes: chunk(offset, end - offset), total: copy.size };
    } catch (error) {
      this.#giveUp(handle, error);
      throw error;
    } finally {
      this.#space.book.read(handle);
    }
  }

  sizeOf(handle: ObjectHandle): number | undefined {
    const copy = this.#space.book.reading(handle);
    if (copy !== undefined) this.#space.book.read(handle);
    return copy?.size;
  }

  /** The object ended: so does its copy. */
  freed(handle: ObjectHandle): void {
    this.#space.book.freed(handle);
  }

  /** Copies of objects that ended with their process, their job or their owner. */
  sweep(): void {
    for (const handle of this.#space.book.handles()) if (this.#host.whereabouts(handle) === "gone") this.freed(handle);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** How many of their objects that was true of. Several at once. */
  async #writing(units: readonly StoreUnit[], work: (object: SealedObject) => Promise<boolean>): Promise<number> {
    const objects = units.flatMap((unit) => unit.objects ?? []);
    let next = 0;
    let done = 0;
    const writer = async () => {
      while (next < objects.length) if (await work(objects[next++])) done += 1;
    };
    const ended = await Promise.allSettled(Array.from({ length: WRITES_AT_ONCE }, writer));
    const failure = ended.find((one) => one.status === "rejected");
    if (failure !== undefined && done === 0) throw failure.reason;
    return done;
  }

  async #leave(object: SealedObject): Promise<boolean> {
    if (this.#dropCopy(object)) return true;
    if (!this.#space.book.has(object) && !(await this.#write(object))) return false;
    return this.#host.evict(object);
  }

  /** False when it need not be written any more, or is being written already. */
  async #write(object: SealedObject): Promise<boolean> {
    const { book, storage } = this.#space;
    const source = this.#host.bytesOf(object);
    if (source === undefined) return false;
    const page = book.begin(object);
    if (page === undefined) {
      source.end();
      return false;
    }
    try {
      const sums: number[] = [];
      for (let offset = 0; offset < object.size; offset += BLOCK_BYTES) {
        const bytes = source.chunk(offset, Math.min(BLOCK_BYTES, object.size - offset));
        sums.push(crc32(bytes));
        await storage.write(page * PAGE + offset, bytes);
      }
      this.#spilled += object.size;
      book.written(object, sums);
      return true;
    } catch (error) {
      book.failed(object);
      throw error;
    } finally {
      source.end();
    }
  }

  /** What is in the memory as well is written anew when it leaves. */
  #giveUp(handle: ObjectHandle, error: unknown): void {
    if (!(error instanceof ObjectLostError)) return;
    const key = `${handle.slot}/${handle.generation}`;
    const times = (this.#unread.get(key) ?? 0) + 1;
    this.#unread.set(key, times);
    if (error.cause !== undefined && times < UNREADABLE_TIMES) return;
    if (this.#host.whereabouts(handle) === "evicted") this.#host.free(handle);
    this.freed(handle);
  }

  /** Several at once: the disk is asked for the next while one is checked. */
  async #readBlocks(
    handle: ObjectHandle, copy: SpilledCopy, { from, to }: { from: number; to: number }, range: Pick<Restoration, "chunk">,
  ): Promise<void> {
    let next = from;
    const reader = async () => {
      while (next < to) await this.#readBlock(handle, copy, next++, range);
    };
    const ended = await Promise.allSettled(Array.from({ length: READS_AT_ONCE }, reader));
    const failure = ended.find((one) => one.status === "rejected");
    if (failure !== undefined) throw failure.reason;
  }

  async #readBlock(
    handle: ObjectHandle, copy: SpilledCopy, block: number, range: Pick<Restoration, "chunk">,
  ): Promise<void> {
    const offset = block * BLOCK_BYTES;
    const bytes = range.chunk(offset, Math.min(BLOCK_BYTES, copy.size - offset));
    let failure: unknown;
    for (let tries = 0; tries < READ_TRIES; tries += 1) {
      try {
        await this.#space.storage.read(copy.page * PAGE + offset, bytes);
      } catch (error) {
        failure = error;
        continue;
      }
      if (crc32(bytes) === copy.sums[block]) return;
      failure = undefined;
    }
    throw lost(handle, failure === undefined ? "its copy on disk is damaged" : "its copy on disk can't be read", failure);
  }
}

function lost({ slot, generation }: ObjectHandle, why: string, cause?: unknown): ObjectLostError {
  return new ObjectLostError(`object ${slot}/${generation} was spilled, and ${why}`, {}, cause);
}
