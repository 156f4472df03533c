// One object of another node on its way here: asks its sources for chunks, writes them, and serves what it has meanwhile.
//
// The shell of core/transfer.ts. A chunk is here once its bytes are where they belong and its sum is right; a damaged one is
// asked for again. On a direct connection it is read to where it belongs, by one source at a time. A source that breaks off is
// replaced, by whom the object's own node names, and what is here stays. It fails when the object is gone, and when the sources
// that are left bring nothing and the object's node can't be reached.

import { ChunkSet, Transfer, type ChunkAsk, type PartOf } from "../../core/index.ts";
import {
  ConnectionError, DeadlineError, failureOf, NodeDiedError, ObjectFetchTimeoutError, ObjectLostError,
} from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import { crc32, type WritableObject } from "../../store/index.ts";
import type {
  AnswerBody, CallContext, CallOptions, Channel, Chunk, CopySources, Draft, Place, ReadChunk, Stored,
} from "../../transport/index.ts";

export const CHUNK_BYTES = 1024 * 1024;
/** A node that can't be reached is declared dead within this time, or can be reached again. */
export const VERDICT_WAIT_MS = 10_000;
export const RETRY_REACH_MS = 100;
const WATCH_EVERY_MS = 500;
/** A chunk that takes longer, when nothing else is left to ask for, is asked of another source too. */
const LATE_MS = 3000;
/** Who has got nothing for so long, and has nothing to ask for, wants other sources. */
const STARVING_MS = 5000;
/** Who asks for news and there are none is answered after this. */
const LISTEN_MS = 2000;
const NOT_YET_MS = 10;
const SOURCES_MAX = 8;
/** A chunk that comes damaged so often is damaged where it comes from. */
const DAMAGED_MAX = 5;
const NO_BYTES = new Uint8Array(0);
const NO_NEWS = { here: NO_BYTES, claimed: NO_BYTES };

/** How agents talk to each other about an object of one of them. */
export interface TransferNetwork {
  ask(node: string, body: Draft<ReadChunk>): Promise<Chunk>;
  /** The same for all of a small object, or a part of one. */
  askSmall(node: string, body: Draft<ReadChunk>): Promise<Chunk>;
  /** The same where nobody waits behind it; `place` is where the chunk may be read to. */
  askBulk(node: string, body: Draft<ReadChunk>, place: CallOptions["place"]): Promise<Chunk>;
  join(source: Stored, failed: readonly string[]): Promise<CopySources>;
  /** `sum`: of the sums of a whole copy. Rejects when it is not the original's. */
  leave(source: Stored, sum: number | undefined): Promise<void>;
  deathOf(node: string): NodeDiedError | undefined;
}

export interface TransferCounts {
  /** Objects whose copying began, and bytes that came and went. */
  transfers: number;
  copiedBytes: number;
  servedBytes: number;
  damagedChunks: number;
}

export interface IncomingParts {
  readonly clock: Clock;
  readonly source: Stored;
  /** False: it is nobody's source, and its own node need not know of it. */
  readonly isShared: boolean;
  readonly network: TransferNetwork;
  readonly counts: TransferCounts;
  /** There may be something to ask for now. */
  readonly changed: () => void;
}

export interface IncomingAsk extends ChunkAsk {
  readonly bytes: number;
}

/** A chunk on its way to where it belongs. */
interface Landing {
  readonly channel: Channel;
  readonly place: Place;
  /** Of its bytes, if it was taken while they came. */
  sum: number | undefined;
  /** Nobody looks at its bytes there any more. Idempotent. */
  taken(): void;
}

interface Listener {
  readonly theirs: ChunkSet;
  readonly timer: Timer;
  readonly tell: () => void;
}

export class IncomingObject {
  readonly sums: number[] = [];
  /** Rejects with why it did not come. */
  readonly ended: Promise<void>;
  readonly #parts: IncomingParts;
  readonly #chunks: number;
  readonly #failed = new Set<string>();
  readonly #asks = new Map<IncomingAsk, number>();
  readonly #listeners = new Set<Listener>();
  /** Chunks that are being read to where they belong. */
  readonly #landing = new Map<number, Landing>();
  /** How often each came damaged from its own node. */
  readonly #damaged = new Map<number, number>();
  #target: WritableObject | undefined;
  #transfer: Transfer | undefined;
  #settle!: { readonly resolve: () => void; readonly reject: (error: unknown) => void };
  #isOver = false;
  #isJoining = false;
  #progressAt = 0;
  #watching: Timer | undefined;

  constructor(parts: IncomingParts) {
    this.#parts = parts;
    this.#chunks = Math.ceil(parts.source.size / CHUNK_BYTES);
    this.ended = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Whoever wants it hears of it too.
    this.ended.catch(() => {});
  }

  /** Bytes that are here, of all. */
  get progress(): { readonly bytes: number; readonly sources: readonly string[] } {
    const bytes = Math.min((this.#transfer?.here.count ?? 0) * CHUNK_BYTES, this.#parts.source.size);
    return { bytes, sources: this.#transfer?.sources ?? [] };
  }

  start(target: WritableObject): void {
    this.#target = target;
    this.#progressAt = this.#parts.clock.now();
    this.#watch();
    this.#join();
  }

  /** What it would ask for now; it counts as asked. */
  next(): IncomingAsk | undefined {
    const ask = this.#isOver ? undefined : this.#transfer?.next();
    return ask && { ...ask, bytes: ask.chunk === undefined ? 0 : this.#lengthOf(ask.chunk) };
  }

  /** Resolves when that ask is over, whatever came of it. */
  async carryOut(ask: IncomingAsk): Promise<void> {
    const { clock, network, source } = this.#parts;
    const transfer = this.#transfer as Transfer;
    const { slot, generation, node } = source;
    const making = ask.chunk === undefined ? undefined : this.#target?.makePages(ask.chunk * CHUNK_BYTES, ask.bytes);
    if (making !== undefined && !await this.#hasPages(making)) return transfer.missed(ask);
    this.#asks.set(ask, clock.now());
    let landing: Landing | undefined;
    try {
      const news = ask.source === node ? NO_NEWS : newsOf(transfer);
      const body = { node, slot, generation, offset: (ask.chunk ?? 0) * CHUNK_BYTES, length: ask.bytes, ...news };
      const place = (length: number, channel: Channel) => (landing = this.#land(ask, length, channel))?.place;
      const answer = await (ask.bytes > 0 ? network.askBulk(ask.source, body, place) : network.ask(ask.source, body));
      if (!this.#isOver) await this.#take(ask, answer, landing);
    } catch (error) {
      transfer.missed(ask);
      if (!this.#isOver) this.#sourceFailed(ask.source, error);
    } finally {
      this.#asks.delete(ask);
      landing?.taken();
    }
  }

  /** For another node that is getting the same object. */
  serve({ offset, length, here, claimed }: ReadChunk, context: CallContext): AnswerBody | Promise<AnswerBody> {
    const node = context.channel.peer.nodeId;
    const transfer = this.#transfer;
    if (transfer === undefined) return this.#notYet(length);
    const part = this.#partOf(here, claimed);
    const theirs = part.has;
    if (transfer.sources.length < SOURCES_MAX) transfer.found(node, part);
    transfer.heard(node, part);
    this.#parts.changed();
    if (length > 0) return this.#served(transfer, offset, length, context);
    if (transfer.here.hasBeyond(theirs)) return this.#news(transfer);
    return new Promise((resolve) => {
      const tell = () => {
        this.#listeners.delete(listener);
        listener.timer.cancel();
        resolve(this.#news(transfer));
      };
      const listener: Listener = { theirs, timer: this.#parts.clock.after(LISTEN_MS, tell), tell };
      this.#listeners.add(listener);
    });
  }

  /** The other has heard of this copy before its own node has. */
  #notYet(length: number): AnswerBody | Promise<AnswerBody> {
    const answer: AnswerBody = { chunk: { total: this.#parts.source.size } };
    if (length > 0) return answer;
    return new Promise((resolve) => void this.#parts.clock.after(NOT_YET_MS, () => resolve(answer)));
  }

  /** Safe to call twice. */
  fail(error: unknown): void {
    if (!this.#end()) return;
    const { network, source, isShared } = this.#parts;
    this.#target?.abort();
    // Nobody is to be sent here for it; who can't be told finds out.
    if (isShared) network.leave(source, undefined).catch(() => {});
    this.#settle.reject(error);
  }

  /** False: it is over, for want of memory or as it is. */
  async #hasPages(making: Promise<void>): Promise<boolean> {
    try {
      await making;
    } catch (error) {
      this.fail(error);
    }
    return !this.#isOver;
  }

  // -- chunks ------------------------------------------------------------------------------------------------------

  /** Undefined where another source is bringing the same, or has. */
  #land({ chunk, bytes }: IncomingAsk, length: number, channel: Channel): Landing | undefined {
    const isWanted = chunk !== undefined && length === bytes && !this.#landing.has(chunk) && this.#transfer?.misses(chunk);
    if (this.#isOver || !isWanted) return undefined;
    const loan = (this.#target as WritableObject).lend(chunk * CHUNK_BYTES, length, "written");
    let uses = 2;
    const done = () => {
      uses -= 1;
      if (uses === 0) loan.end();
    };
    let isTaken = false;
    const taken = () => {
      if (!isTaken) done();
      isTaken = true;
    };
    const ended = () => {
      this.#landing.delete(chunk);
      done();
    };
    const summed = (sum: number) => void (landing.sum = sum);
    const landing: Landing = { channel, place: { bytes: loan.bytes, summed, ended }, sum: undefined, taken };
    this.#landing.set(chunk, landing);
    return landing;
  }

  async #take(ask: IncomingAsk, { bytes, sum, here, claimed, whole }: Chunk, landing?: Landing): Promise<void> {
    const { counts } = this.#parts;
    const transfer = this.#transfer as Transfer;
    transfer.heard(ask.source, whole ? undefined : this.#partOf(here, claimed));
    const { chunk } = ask;
    const took = this.#parts.clock.now() - (this.#asks.get(ask) ?? 0);
    if (chunk === undefined) return void transfer.arrived(ask, took);
    if (bytes.length === 0 && !whole) return transfer.missed(ask);
    if (bytes.length !== ask.bytes || (landing?.sum ?? crc32(bytes)) !== sum) return this.#damagedBy(ask, chunk);
    counts.copiedBytes += bytes.length;
    this.#progressAt = this.#parts.clock.now();
    landing?.taken();
    if (!transfer.arrived(ask, took)) return;
    this.sums[chunk] = sum;
    try {
      if (landing === undefined) await this.#write(chunk, bytes);
    } catch (error) {
      return this.fail(error);
    }
    if (this.#isOver) return;
    transfer.written(chunk);
    for (const listener of [...this.#listeners]) if (!listener.theirs.has(chunk)) listener.tell();
    if (transfer.isDone) await this.#whole();
  }

  #write(chunk: number, bytes: Uint8Array): Promise<void> | void {
    // Who was late with it may not go on writing there.
    const late = new ConnectionError(`chunk ${chunk} has come from another source`);
    const landing = this.#landing.get(chunk);
    landing?.channel.break(failureOf(late));
    landing?.taken();
    return this.#target?.write(chunk * CHUNK_BYTES, bytes);
  }

  /** Asked for again, of somebody else if there is anybody. */
  #damagedBy(ask: IncomingAsk, chunk: number): void {
    const { counts, source: { node, slot, generation } } = this.#parts;
    counts.damagedChunks += 1;
    (this.#transfer as Transfer).missed(ask);
    const text = `chunk ${chunk} of object ${slot}/${generation} came damaged from node ${ask.source}`;
    if (ask.source !== node) return this.#sourceFailed(ask.source, new ConnectionError(text));
    const times = (this.#damaged.get(chunk) ?? 0) + 1;
    this.#damaged.set(chunk, times);
    if (times >= DAMAGED_MAX) this.fail(new ObjectLostError(`${text}, which has made it, ${times} times`));
  }

  async #whole(): Promise<void> {
    const { network, source, isShared } = this.#parts;
    const sum = crc32(Buffer.from(Uint32Array.from(this.sums).buffer));
    try {
      if (isShared) await network.leave(source, sum);
    } catch (error) {
      // Every chunk was right; the comparison of the whole needs somebody who can be asked.
      if (!isOutOfReach(error)) return this.fail(error);
    }
    if (this.#end()) this.#settle.resolve();
  }

  #served(transfer: Transfer, offset: number, length: number, context: CallContext): AnswerBody {
    const { source, counts } = this.#parts;
    const chunk = offset / CHUNK_BYTES;
    const isHere = Number.isInteger(chunk) && chunk < this.#chunks && transfer.here.has(chunk);
    if (!isHere || length !== this.#lengthOf(chunk) || this.#target === undefined) return this.#news(transfer);
    counts.servedBytes += length;
    const { chunk: news } = this.#news(transfer) as { readonly chunk: Draft<Chunk> };
    const { bytes, end } = this.#target.lend(offset, length, "read");
    context.answered = end;
    return { chunk: { ...news, bytes, total: source.size, sum: this.sums[chunk] } };
  }

  #news(transfer: Transfer): AnswerBody {
    return { chunk: { total: this.#parts.source.size, ...newsOf(transfer), whole: transfer.here.isFull } };
  }

  #partOf(here: Uint8Array, claimed: Uint8Array): PartOf {
    return { has: ChunkSet.from(this.#chunks, here), claimed: ChunkSet.from(this.#chunks, claimed) };
  }

  // -- sources -----------------------------------------------------------------------------------------------------

  #sourceFailed(node: string, error: unknown): void {
    const { source, network } = this.#parts;
    if (node === source.node && !isOutOfReach(error) && network.deathOf(node) === undefined) return this.fail(error);
    this.#transfer?.gone(node);
    if (node !== source.node) this.#failed.add(node);
    this.#join();
  }

  #join(): void {
    if (this.#isJoining || this.#isOver) return;
    this.#isJoining = true;
    const { clock, network, source, isShared, changed } = this.#parts;
    const joining = isShared ? network.join(source, [...this.#failed]) : Promise.resolve({ nodes: [source.node], order: 0 });
    joining.then(
      ({ nodes, order }) => {
        this.#transfer ??= new Transfer(this.#chunks, order);
        const nothingYet = this.#partOf(NO_BYTES, NO_BYTES);
        for (const node of nodes) this.#transfer.found(node, node === source.node ? undefined : nothingYet);
      },
      (error: unknown) => this.#unreached(error),
    ).finally(() => {
      // Not at once again: whatever failed may fail as fast.
      clock.after(RETRY_REACH_MS, () => {
        this.#isJoining = false;
        if (!this.#isOver && (this.#transfer?.sources.length ?? 0) === 0) this.#join();
      });
      changed();
    });
  }

  /** The object's own node names no sources. */
  #unreached(error: unknown): void {
    const { clock, network, source } = this.#parts;
    const death = network.deathOf(source.node);
    const hasSources = (this.#transfer?.sources.length ?? 0) > 0;
    if (death === undefined && !isOutOfReach(error)) return this.fail(error);
    if (death !== undefined && !hasSources) return this.fail(lostWith(death));
    if (hasSources || clock.now() - this.#progressAt < VERDICT_WAIT_MS) return;
    this.fail(new ObjectFetchTimeoutError(`node ${source.node}, which has the object, can't be reached`, {}, error));
  }

  #watch(): void {
    const { clock, changed, network, source } = this.#parts;
    this.#watching = clock.after(WATCH_EVERY_MS, () => {
      this.#watch();
      const transfer = this.#transfer;
      if (transfer === undefined) return;
      const now = clock.now();
      const late = transfer.isAskedFor ? [...this.#asks].find(([, since]) => now - since > LATE_MS) : undefined;
      if (late !== undefined) {
        transfer.late(late[0]);
        changed();
      }
      if (!transfer.isIdle || now - this.#progressAt < STARVING_MS) return;
      const death = network.deathOf(source.node);
      if (death !== undefined) return this.fail(lostWith(death));
      for (const node of transfer.sources) if (node !== source.node) this.#failed.add(node);
      this.#join();
    });
  }

  /** False when it was over before. */
  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#watching?.cancel();
    for (const listener of [...this.#listeners]) listener.tell();
    return true;
  }

  #lengthOf(chunk: number): number {
    return Math.min(CHUNK_BYTES, this.#parts.source.size - chunk * CHUNK_BYTES);
  }
}

function newsOf({ here, claimed }: Transfer): { readonly here: Uint8Array; readonly claimed: Uint8Array } {
  return { here: here.toBytes(), claimed: claimed.toBytes() };
}

export function isOutOfReach(error: unknown): boolean {
  return error instanceof ConnectionError || error instanceof DeadlineError || error instanceof NodeDiedError;
}

export function lostWith(death: NodeDiedError): ObjectLostError {
  return new ObjectLostError(`its copy lay in the store of a node that is gone: ${death.message}`);
}
