// Claim pages: who started a task is decided by one compare-and-swap on memory that outlives the worker.
//
// A page belongs to a lease: 1024 words shared by owner, worker and agent. Word of slot s: tag << 2 | state, where tag are
// low bits of the task's number, so that a slot which is used again cannot be mistaken.
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
const TAG_MASK = 0x1fffffff;
const QUEUED = 1;
const CLAIMED = 2;
const TAKEN = 3;

export function claimTag(task: number): number {
  return task & TAG_MASK;
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
