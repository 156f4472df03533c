// How the chunks of one object come to a node: which is asked of which source next, until all are here.
//
// A source has the whole object, or is on its way to having it and says what it has so far, and what it has asked for. Each
// receiver begins at another place of the object, and asks who has all of it first for what nobody else near it has or gets; so
// what leaves the origin is different for each, and they give one another the rest. A chunk belongs to the ask that is under way
// for it; when that fails, or its source is gone, it is open again, and whatever is here stays. No order of events brings a chunk
// twice.

import { ChunkSet } from "./chunk-set.ts";

/**
 * Chunks asked of one source at once: it begins with the first. More while they come soon; fewer when they queue on the way,
 * where they delay what others ask of it.
 */
const WINDOW_START = 4;
const WINDOW_MIN = 2;
const WINDOW_MAX = 16;
const SOON_MS = 150;

/** Without a chunk the source is asked to tell when it has something that is not here. */
export interface ChunkAsk {
  readonly source: string;
  readonly chunk: number | undefined;
}

/** Of an object that a source is getting itself. */
export interface PartOf {
  readonly has: ChunkSet;
  /** What it has, and what is on its way to it. */
  readonly claimed: ChunkSet;
}

interface Source {
  /** Undefined: all. */
  part: PartOf | undefined;
  readonly asked: Set<number>;
  window: number;
  isListening: boolean;
}

export class Transfer {
  readonly #here: ChunkSet;
  /** Those that are to be asked for. */
  readonly #open: ChunkSet;
  /** Arrived, whether written already or not. */
  readonly #taken: ChunkSet;
  readonly #start: number;
  readonly #sources = new Map<string, Source>();

  /** `order`: the how manieth receiver of the object this is, from 0. */
  constructor(chunks: number, order: number) {
    this.#here = new ChunkSet(chunks);
    this.#open = ChunkSet.full(chunks);
    this.#taken = new ChunkSet(chunks);
    this.#start = Math.floor(spread(order) * chunks);
  }

  get here(): ChunkSet {
    return this.#here;
  }
  /** Here, or asked for. */
  get claimed(): ChunkSet {
    return this.#open.inverse();
  }
  get isDone(): boolean {
    return this.#here.isFull;
  }
  /** Nothing is under way, and something is missing. */
  get isIdle(): boolean {
    if (this.#taken.isFull) return false;
    for (const { asked } of this.#sources.values()) if (asked.size > 0) return false;
    return true;
  }
  /** Every chunk that is missing is asked for. */
  get isAskedFor(): boolean {
    return this.#open.count === 0;
  }
  /** It has not arrived. */
  misses(chunk: number): boolean {
    return !this.#taken.has(chunk);
  }
  get sources(): string[] {
    return [...this.#sources.keys()];
  }

  /** A source, and what it has; undefined: all of it. Nothing changes when it is known. */
  found(source: string, part: PartOf | undefined): void {
    if (this.#sources.has(source)) return;
    this.#sources.set(source, { part, asked: new Set(), window: WINDOW_START, isListening: false });
  }

  /** What a source has now. Nothing changes when it is none, or none any more. */
  heard(source: string, part: PartOf | undefined): void {
    const known = this.#sources.get(source);
    if (known !== undefined) known.part = part;
  }

  /** What was asked of it is asked of others. Safe to call twice. */
  gone(source: string): void {
    const known = this.#sources.get(source);
    if (known === undefined) return;
    this.#sources.delete(source);
    for (const chunk of known.asked) this.#reopen(chunk);
  }

  /** What is to be asked now, and counts as asked; undefined: nothing until something happens. */
  next(): ChunkAsk | undefined {
    if (this.#taken.isFull) return undefined;
    const sources = [...this.#sources].sort(([, one], [, other]) => one.asked.size - other.asked.size);
    const claimed = sources.flatMap(([, { part }]) => (part === undefined ? [] : [part.claimed]));
    for (const [source, state] of sources) {
      if (state.asked.size >= state.window) continue;
      const chunk = this.#choose(state, claimed);
      if (chunk === undefined) continue;
      this.#open.delete(chunk);
      state.asked.add(chunk);
      return { source, chunk };
    }
    for (const [source, state] of sources) {
      if (state.part === undefined || state.isListening || state.asked.size > 0) continue;
      state.isListening = true;
      return { source, chunk: undefined };
    }
    return undefined;
  }

  /** The chunk came, so long after it was asked for, and is right. True: it is to be written, then `written`. */
  arrived({ source, chunk }: ChunkAsk, tookMs: number): boolean {
    const state = this.#answered({ source, chunk });
    const step = tookMs < SOON_MS ? 1 : -1;
    if (state !== undefined && chunk !== undefined) {
      state.window = Math.max(WINDOW_MIN, Math.min(WINDOW_MAX, state.window + step));
    }
    if (chunk === undefined || !this.#taken.add(chunk)) return false;
    this.#open.delete(chunk);
    return true;
  }

  written(chunk: number): void {
    this.#here.add(chunk);
  }

  /** It did not come, or not as it should be. */
  missed(ask: ChunkAsk): void {
    this.#answered(ask);
    if (ask.chunk !== undefined) this.#reopen(ask.chunk);
  }

  /** It lets wait for itself: another source may be asked for the same, and whoever answers first is taken. */
  late({ source, chunk }: ChunkAsk): void {
    const state = this.#sources.get(source);
    if (state === undefined || chunk === undefined || !state.asked.has(chunk)) return;
    state.window = 1;
    if (!this.#taken.has(chunk)) this.#open.add(chunk);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #choose({ part, asked }: Source, claimed: readonly ChunkSet[]): number | undefined {
    const has = part?.has;
    const found = has === undefined && claimed.length > 0 ? this.#open.first(this.#start, undefined, claimed) : undefined;
    if (found !== undefined && !asked.has(found)) return found;
    const chunk = this.#open.first(this.#start, has, []);
    if (chunk === undefined || !asked.has(chunk)) return chunk;
    // The first is one that it was late with: it is not asked twice.
    const own = new ChunkSet(this.#open.length);
    for (const one of asked) own.add(one);
    return this.#open.first(this.#start, has, [own]);
  }

  #answered({ source, chunk }: ChunkAsk): Source | undefined {
    const state = this.#sources.get(source);
    if (state === undefined) return undefined;
    if (chunk === undefined) state.isListening = false;
    else state.asked.delete(chunk);
    return state;
  }

  #reopen(chunk: number): void {
    if (this.#taken.has(chunk)) return;
    for (const { asked } of this.#sources.values()) if (asked.has(chunk)) return;
    this.#open.add(chunk);
  }
}

/** 0, 1/2, 1/4, 3/4, 1/8, …: whoever comes next begins in the middle of the widest gap. */
function spread(order: number): number {
  let place = 0;
  for (let left = order, share = 0.5; left > 0; left = Math.floor(left / 2), share /= 2) if (left % 2 === 1) place += share;
  return place;
}
