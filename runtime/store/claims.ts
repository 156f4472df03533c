// Claim pages: who started a task is decided by one compare-and-swap on memory that outlives the worker.
//
// A page belongs to a lease: 1024 words shared by owner, worker and agent. Word of slot s: tag << 2 | state, where the tag is
// made of the task's number and the lease, so that a slot, or a page, which is used again cannot be mistaken. A page is given
// to another lease only when the owner has said that it will not write to it any more, or is gone.
//
//   FREE ──queue()──▶ QUEUED ──claim() by the worker, in the statement before user code──▶ CLAIMED
//                       └────recall() by the owner, or cancel by anyone─────────────────▶ TAKEN
//
// Whoever wins the swap decides; a task is in two places never.

import type { Native } from "../../native/index.ts";

export const CLAIM_SLOTS = 1024;
const PAGE_BYTES = CLAIM_SLOTS * 4;
/** Leases at once on one node. */
const PAGES = 4096;
const TAG_BITS = 29;
const TAG_MASK = 2 ** TAG_BITS - 1;
const QUEUED = 1;
const CLAIMED = 2;
const TAKEN = 3;
const STATE_BITS = 2;
const STATE_MASK = 3;

export function claimTag(task: number, salt: number): number {
  return (task ^ salt) & TAG_MASK;
}

/** Of a lease: leases of one agent differ in it. */
export function claimSalt(lease: string): number {
  let hash = 0;
  for (let index = 0; index < lease.length; index += 1) hash = Math.imul(hash, 31) + lease.charCodeAt(index) | 0;
  // Spread, so that tasks of two leases with neighbouring numbers have no tags in common for long.
  return Math.imul(hash, 0x9e3779b1) >>> (32 - TAG_BITS);
}

export class ClaimPage {
  readonly #words: Int32Array;

  constructor(words: Int32Array) {
    this.#words = words;
  }

  queue(slot: number, tag: number): void {
    Atomics.store(this.#words, slot, (tag << 2) | QUEUED);
  }

  /** True when the task is this worker's to run. */
  claim(slot: number, tag: number): boolean {
    return this.#swap(slot, tag, CLAIMED);
  }

  /** True when the task will never start on that worker. */
  recall(slot: number, tag: number): boolean {
    return this.#swap(slot, tag, TAKEN);
  }

  isClaimed(slot: number, tag: number): boolean {
    return Atomics.load(this.#words, slot) === ((tag << 2) | CLAIMED);
  }

  /** Tags of what was started, whether it is finished or not. */
  claimed(): number[] {
    const tags: number[] = [];
    for (let slot = 0; slot < CLAIM_SLOTS; slot += 1) {
      const word = Atomics.load(this.#words, slot);
      if ((word & STATE_MASK) === CLAIMED) tags.push(word >>> STATE_BITS & TAG_MASK);
    }
    return tags;
  }

  clear(): void {
    this.#words.fill(0);
  }

  #swap(slot: number, tag: number, next: number): boolean {
    const queued = (tag << 2) | QUEUED;
    return Atomics.compareExchange(this.#words, slot, queued, (tag << 2) | next) === queued;
  }
}

/** All claim pages of a node; the agent gives one to each lease. */
export class ClaimBook {
  /** Where processes of this node map the pages; "" when they are only in this process. */
  readonly path: string;
  readonly #memory: ArrayBuffer;
  readonly #pages: ClaimPage[] = [];
  readonly #leases = new Map<string, number>();
  readonly #free: number[] = [];
  #next = 0;

  constructor(memory: ArrayBuffer, path: string) {
    this.#memory = memory;
    this.path = path;
  }

  page(index: number): ClaimPage | undefined {
    if (index < 0 || index >= PAGES) return undefined;
    return (this.#pages[index] ??= new ClaimPage(new Int32Array(this.#memory, index * PAGE_BYTES, CLAIM_SLOTS)));
  }

  /** A page for a new lease, cleared. */
  lease(lease: string): number {
    const index = this.#free.pop() ?? this.#next++;
    if (index >= PAGES) throw new Error(`more than ${PAGES} leases at once`);
    this.page(index)?.clear();
    this.#leases.set(lease, index);
    return index;
  }

  release(lease: string): void {
    const index = this.#leases.get(lease);
    if (index === undefined) return;
    this.#leases.delete(lease);
    this.#free.push(index);
  }
}

export function createClaimBook(native: Native | undefined): ClaimBook {
  const bytes = PAGES * PAGE_BYTES;
  if (native === undefined) return new ClaimBook(new ArrayBuffer(bytes), "");
  const path = `/proc/${process.pid}/fd/${native.createMemory(bytes)}`;
  return new ClaimBook(native.mapShared(path, 0, bytes), path);
}

export function openClaimBook(native: Native, path: string): ClaimBook {
  return new ClaimBook(native.mapShared(path, 0, PAGES * PAGE_BYTES), path);
}
