// What this node gives to others of its objects: chunks, from the memory or the disk, with their sums, and the names of nodes
// that give the same. Who took a copy is remembered here, and told when the object is freed.

import { CopyDirectory } from "../../core/index.ts";
import { ObjectLostError } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import { crc32, type ObjectHandle, type ReadableObject, type StoreClient } from "../../store/index.ts";
import type { AnswerBody, CallContext, JoinCopies, LeaveCopies, ReadChunk } from "../../transport/index.ts";
import type { AgentSpilling } from "./agent-spilling.ts";
import { CHUNK_BYTES, type TransferCounts } from "./incoming-object.ts";

/** An object that is read chunk by chunk stays pinned so long after the last. */
const PIN_MS = 1000;
/** What is longer has no single array on Node 20. */
const WHOLE_MAX_BYTES = 2 ** 32 - 1;

interface Shared {
  readonly directory: CopyDirectory;
  /** Of its chunks, as far as they were read; every copy has the same. */
  sums: number[];
}

interface Pinned {
  readonly object: ReadableObject;
  readonly whole: Uint8Array | undefined;
  /** Chunks on their way out from where they lie. */
  leaving: number;
  /** Until it is let go of; undefined: as soon as nothing of it is leaving. */
  timer: Timer | undefined;
}

export interface ServedObjectsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly client: StoreClient;
  readonly spilling: AgentSpilling | undefined;
  readonly counts: TransferCounts;
  readonly isGone: (handle: ObjectHandle) => boolean;
}

export class ServedObjects {
  readonly #parts: ServedObjectsParts;
  readonly #shared = new Map<string, Shared>();
  readonly #pinned = new Map<string, Pinned>();

  constructor(parts: ServedObjectsParts) {
    this.#parts = parts;
  }

  /**
   * Of an object of this node's store. In the same turn when it is in the memory: its bytes are not copied. Without a context
   * for this node itself.
   */
  read(
    handle: ObjectHandle, { offset, length }: Pick<ReadChunk, "offset" | "length">, context?: CallContext,
  ): AnswerBody | Promise<AnswerBody> {
    const answer = (bytes: Uint8Array, total: number): AnswerBody => {
      if (context === undefined) return { chunk: { bytes, total, whole: true } };
      this.#parts.counts.servedBytes += bytes.length;
      if (bytes.length === total && total > 0) this.#sharedOf(handle).directory.took(context.channel.peer.nodeId);
      return { chunk: { bytes, total, whole: true, sum: this.#sumOf(handle, offset, bytes, total) } };
    };
    const pinned = this.#pinned.get(keyOf(handle)) ?? this.#open(handle);
    if (pinned === undefined) {
      // What was read from there is nobody else's.
      if (context !== undefined) context.answered = () => {};
      return this.#fromDisk(handle, offset, length, answer);
    }
    const { object, whole } = pinned;
    const until = Math.min(offset + length, object.size);
    if (object.size > CHUNK_BYTES) {
      this.#keep(handle, pinned);
      if (context !== undefined) context.answered = leaving(pinned);
      return answer(whole?.subarray(offset, until) ?? new Uint8Array(object.buffer(offset, until - offset)), object.size);
    }
    const bytes = Buffer.from((whole as Uint8Array).subarray(offset, until));
    const { size } = object;
    object.release();
    // The copy is nobody else's.
    if (context !== undefined) context.answered = () => {};
    return answer(bytes, size);
  }

  /** Another node gets a copy: from whom. */
  join({ slot, generation, failed }: JoinCopies, node: string): AnswerBody {
    const { sources, order } = this.#sharedOf({ slot, generation }).directory.join(node, failed);
    return { copySources: { nodes: sources, order } };
  }

  leave({ slot, generation, whole, sum }: LeaveCopies, node: string): AnswerBody {
    const shared = this.#shared.get(keyOf({ slot, generation }));
    const differs = whole && shared !== undefined && isSummed(shared) && crc32(sumsAsBytes(shared.sums)) !== sum;
    shared?.directory.ended(node, whole && !differs);
    if (differs) throw new ObjectLostError(`the copy of object ${slot}/${generation} on node ${node} is not the original`);
    return { done: {} };
  }

  /** A copy came with these sums: whoever reads it here compares with what was read first. */
  copied(handle: ObjectHandle, sums: readonly number[]): void {
    this.#sharedOf(handle).sums = [...sums];
  }

  /** The object ended. Nodes that have copies. */
  freed(handle: ObjectHandle): readonly string[] {
    const key = keyOf(handle);
    this.#unpin(key);
    const shared = this.#shared.get(key);
    this.#shared.delete(key);
    return shared?.directory.holders ?? [];
  }

  nodeDied(node: string): void {
    for (const { directory } of this.#shared.values()) directory.ended(node, false);
  }

  /** Objects that ended with their process, their job or their owner. */
  sweep(): void {
    for (const key of [...this.#shared.keys()]) {
      const [slot, generation] = key.split("/").map(Number);
      if (this.#parts.isGone({ slot, generation })) this.#shared.delete(key);
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #fromDisk(
    handle: ObjectHandle, offset: number, length: number, answer: (bytes: Uint8Array, total: number) => AnswerBody,
  ): Promise<AnswerBody> {
    const part = await this.#parts.spilling?.readRange(handle, offset, length);
    if (part === undefined) throw this.#lost(handle);
    return answer(part.bytes, part.total);
  }

  #open(handle: ObjectHandle): Pinned | undefined {
    const object = this.#parts.client.open(handle);
    if (object === undefined) return undefined;
    const whole = object.size <= WHOLE_MAX_BYTES ? new Uint8Array(object.buffer()) : undefined;
    return { object, whole, leaving: 0, timer: undefined };
  }

  /** The next chunk will be asked for soon. */
  #keep(handle: ObjectHandle, pinned: Pinned): void {
    const key = keyOf(handle);
    pinned.timer?.cancel();
    pinned.timer = this.#parts.clock.after(PIN_MS, () => this.#unpin(key));
    this.#pinned.set(key, pinned);
  }

  #unpin(key: string): void {
    const pinned = this.#pinned.get(key);
    if (pinned === undefined) return;
    this.#pinned.delete(key);
    pinned.timer?.cancel();
    pinned.timer = undefined;
    if (pinned.leaving === 0) pinned.object.release();
  }

  #sumOf(handle: ObjectHandle, offset: number, bytes: Uint8Array, total: number): number {
    const chunk = offset / CHUNK_BYTES;
    const isChunk = Number.isInteger(chunk) && bytes.length === Math.min(CHUNK_BYTES, total - offset);
    if (!isChunk) return crc32(bytes);
    const { sums } = this.#sharedOf(handle);
    sums.length = Math.ceil(total / CHUNK_BYTES);
    return (sums[chunk] ??= crc32(bytes));
  }

  #sharedOf(handle: ObjectHandle): Shared {
    const key = keyOf(handle);
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      if (this.#parts.isGone(handle)) throw this.#lost(handle);
      shared = { directory: new CopyDirectory(this.#parts.nodeId), sums: [] };
      this.#shared.set(key, shared);
    }
    return shared;
  }

  #lost({ slot, generation }: ObjectHandle): ObjectLostError {
    return new ObjectLostError(`object ${slot}/${generation} is not in the store of node ${this.#parts.nodeId}`);
  }
}

/** Until the returned function is called, once, the object stays pinned. */
function leaving(pinned: Pinned): () => void {
  pinned.leaving += 1;
  return () => {
    pinned.leaving -= 1;
    if (pinned.leaving === 0 && pinned.timer === undefined) pinned.object.release();
  };
}

function keyOf({ slot, generation }: ObjectHandle): string {
  return `${slot}/${generation}`;
}

/** Every chunk was read by somebody. */
function isSummed({ sums }: Shared): boolean {
  return sums.length > 0 && !(sums as readonly (number | undefined)[]).includes(undefined);
}

function sumsAsBytes(sums: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(sums).buffer);
}
