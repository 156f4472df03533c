// Room in the node's store: whoever finds none waits its turn while others leave for the disk.
//
// The one whose turn it is gets, in this order: what is free, what objects nobody reads leave behind, after a while (when
// everything here is being read) a place in the overflow on disk, and at the end of its patience an error that says why.

import { errorOf, failureOf, ObjectStoreFullError, OutOfDiskError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import { chooseVictims, oldestUnits, RoomQueue, type RoomNeed, type StoreHost, type StoreMap } from "../../store/index.ts";
import type { AgentSpilling, SpillSpace } from "./agent-spilling.ts";

/** A request waits this long for others to free something. */
export const FULL_WAIT_MS = 10_000;
/** Less for who can do without. */
export const RESTORE_WAIT_MS = 1000;
/** From here on a place on disk is better than to wait for readers. */
const OVERFLOW_AFTER_MS = 300;
const RETRY_FULL_MS = 10;
/** A disk that took nothing is not tried again before. */
const DISK_PAUSE_MS = 500;
/** Processes are asked to collect garbage this often at most. */
const PRESS_EVERY_MS = 100;
/** Objects leave together: the next requests find room at once. */
const BATCH_PAGES = 8192;
const BATCH_SHARE = 8;
const HOLDERS_NAMED = 3;

export interface AgentRoomParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly host: StoreHost;
  readonly spilling: AgentSpilling | undefined;
  readonly space: SpillSpace | undefined;
  /** Processes are to give back what only their garbage holds. */
  readonly press: () => void;
}

export interface RoomRequest<T> {
  readonly client: number;
  readonly bytes: number;
  readonly patienceMs?: number;
  /** Undefined: no bytes of the memory are wanted. */
  readonly need: RoomNeed | undefined;
  /** What it takes in the overflow, where that is less than a whole slab. */
  readonly overflowNeed?: RoomNeed;
  /** Undefined when there is no room. With `overflow`, at that page there. */
  readonly attempt: (overflow?: number) => T | undefined;
}

interface Waiting {
  readonly request: RoomRequest<unknown>;
  readonly since: number;
  readonly granted: (what: unknown) => void;
  readonly refused: (error: unknown) => void;
  /** Nothing could leave the memory for it. */
  isStuck: boolean;
}

export class AgentRoom {
  readonly #parts: AgentRoomParts;
  readonly #queue = new RoomQueue<Waiting>();
  #serving = false;
  #pressedAt = Number.NEGATIVE_INFINITY;
  /** Copies of what is to leave next, while they are being written. */
  #ahead: Promise<void> | undefined;
  #diskFailure: { readonly error: unknown; readonly at: number } | undefined;

  constructor(parts: AgentRoomParts) {
    this.#parts = parts;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  take<T>(request: RoomRequest<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const first = this.#queue.size === 0 ? request.attempt() : undefined;
      if (first !== undefined) return resolve(first);
      this.#queue.add(request.client, {
        request, since: this.#parts.clock.now(), granted: resolve as Waiting["granted"], refused: reject, isStuck: false,
      });
      if (!this.#serving) void this.#serve();
    });
  }

  /** What it asked for would be nobody's. */
  clientGone(client: number): void {
    for (const waiting of this.#queue.requests()) {
      if (waiting.request.client !== client) continue;
      this.#queue.remove(client, waiting);
      waiting.refused(new ObjectStoreFullError("the process that asked for room in the object store has ended"));
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #serve(): Promise<void> {
    this.#serving = true;
    for (let head = this.#queue.head; head !== undefined; head = this.#queue.head) {
      try {
        // At once, without a turn between: its client is still there.
        const granted = this.#grant(head);
        if (granted !== undefined) {
          this.#queue.served();
          head.granted(granted);
          continue;
        }
      } catch (error) {
        this.#queue.served();
        head.refused(error);
        continue;
      }
      const { need } = head.request;
      head.isStuck = need === undefined || !(await this.#spill(need));
      if (!head.isStuck) continue;
      this.#press(this.#parts.clock.now());
      await this.#pause();
    }
    this.#serving = false;
  }

  #grant({ request, since, isStuck }: Waiting): unknown {
    const { clock, host } = this.#parts;
    const waited = clock.now() - since;
    const granted = request.attempt() ?? (host.sweep() ? request.attempt() : undefined);
    if (granted !== undefined || !isStuck) return granted;
    const placed = waited >= OVERFLOW_AFTER_MS ? this.#overflow(request) : undefined;
    if (placed === undefined && waited >= (request.patienceMs ?? FULL_WAIT_MS)) throw this.#refusal(request);
    return placed;
  }

  /** True when something left the memory. */
  async #spill(need: RoomNeed): Promise<boolean> {
    const { spilling, host } = this.#parts;
    await this.#ahead;
    if (spilling === undefined || this.#diskIsOut()) return false;
    const map = host.map();
    const victims = chooseVictims(map, need);
    if (victims === undefined || victims.length === 0) return false;
    const more = oldestUnits(map, batchOf(map) - need.pages, victims);
    try {
      const left = await spilling.spill([...victims, ...more]);
      if (left === 0) return false;
      this.#diskFailure = undefined;
      this.#writeAhead(spilling);
      return true;
    } catch (error) {
      this.#diskFailure = { error, at: this.#parts.clock.now() };
      return false;
    }
  }

  /** While the room that was made is being filled: what is asked for next waits for no disk then. */
  #writeAhead(spilling: AgentSpilling): void {
    const map = this.#parts.host.map();
    this.#ahead = spilling.copyAhead(oldestUnits(map, batchOf(map), [])).catch((error: unknown) => {
      this.#diskFailure = { error, at: this.#parts.clock.now() };
    }).finally(() => (this.#ahead = undefined));
  }

  #overflow({ need: inMemory, overflowNeed: need = inMemory, attempt }: RoomRequest<unknown>): unknown {
    const { space } = this.#parts;
    if (space === undefined || need === undefined || this.#diskIsOut()) return undefined;
    let page: number | undefined;
    try {
      page = space.reserve(need.pages, need.align);
    } catch (error) {
      this.#diskFailure = { error, at: this.#parts.clock.now() };
    }
    if (page === undefined) return undefined;
    const placed = attempt(page);
    if (placed === undefined) space.book.release(page, need.pages);
    return placed;
  }

  #diskIsOut(): boolean {
    return this.#diskFailure !== undefined && this.#parts.clock.now() - this.#diskFailure.at < DISK_PAUSE_MS;
  }

  #press(now: number): void {
    if (now - this.#pressedAt < PRESS_EVERY_MS) return;
    this.#pressedAt = now;
    this.#parts.press();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => void this.#parts.clock.after(RETRY_FULL_MS, resolve, true));
  }

  #refusal({ bytes, patienceMs = FULL_WAIT_MS }: RoomRequest<unknown>): Error {
    const { host, nodeId, spilling } = this.#parts;
    const { used, capacity, objects } = host.stats();
    const holders = host.holders().slice(0, HOLDERS_NAMED).map(({ process, pid, bytes: made, pinnedBytes }) => {
      const who = process === "" ? "processes that ended" : `process ${process}${pid > 0 ? ` (pid ${pid})` : ""}`;
      return `${who} made ${made} and reads ${pinnedBytes} bytes`;
    });
    const text = `the object store of node ${nodeId} is full: ${used} of ${capacity} bytes in ${objects} objects ` +
      `(${holders.join("; ")}); ${bytes > 0 ? `${bytes} bytes were` : "a slab was"} asked for ${patienceMs} ms long`;
    const failure = this.#diskFailure?.error;
    if (failure === undefined) {
      const pieces = capacity - used >= bytes && bytes > 0 ? "; what is free lies in pieces that are too small" : "";
      const why = spilling === undefined ? "spilling is turned off" : "what is in it is being read or written";
      return new ObjectStoreFullError(`${text}${pieces}, and ${why}. Release refs, or start the node with more memory`);
    }
    const cause = errorOf(failureOf(failure));
    return new OutOfDiskError(`${text}, and nothing could be spilled: ${cause.message}`, {}, failure);
  }
}

function batchOf(map: StoreMap): number {
  return Math.min(BATCH_PAGES, map.pages / BATCH_SHARE);
}
