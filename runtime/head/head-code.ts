// Shipped code of the cluster: small items as bytes, for large ones the places in stores. The head never looks into them.

import { CodeBook, type CodePlace, type KnownCode, Recent } from "../core/index.ts";
import { CodeStoreFullError, CodeUnavailableError, errorOf, InvalidArgumentError, NotFoundError } from "../errors.ts";
import type { Clock, Timer } from "../seams.ts";
import {
  type ActorInfo, type ActorSpec, type AnswerBody, CodeItem, type ExportCode, type FetchCode, fromBytes, toBytes,
} from "../transport/index.ts";
import { afterKept, type HeadRecords, type Kept, type RecordChange } from "./head-records.ts";

/** What the code of one job, or of one detached actor, may take here. */
export const JOB_CODE_BYTES = 256 * 1024 * 1024;
/** Ids a message tells. */
const FREED_A_MESSAGE = 1000;
/** Code that a call names may be on its way: so long it is waited for. */
export const CODE_WAIT_MS = 30_000;
/** Items that could not be exported, and why. */
const REFUSED_KEPT = 1000;
const HELD = new Uint8Array(0);

export interface HeadCodeParts {
  readonly clock: Clock;
  readonly records: HeadRecords;
  readonly limit: number;
  /** Whether that job runs, or that detached actor lives. */
  readonly isAlive: (holder: string) => boolean;
  /** Tells every agent that nobody holds these any more. */
  readonly freed: (ids: readonly string[]) => void;
}

export class HeadCode {
  readonly #parts: HeadCodeParts;
  readonly #book: CodeBook;
  readonly #refused = new Recent<string, Error>(REFUSED_KEPT);
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(parts: HeadCodeParts) {
    this.#parts = parts;
    this.#book = new CodeBook(parts.limit);
    this.#restore();
  }

  get items(): number {
    return this.#book.size;
  }

  export({ id, name, bytes, stored, needs, holder, failure }: ExportCode): AnswerBody | Promise<AnswerBody> {
    this.#refuseDead(holder, name);
    const place: CodePlace | undefined = stored;
    const error = failure !== undefined ? errorOf(failure)
      : this.#book.add(holder, { id, name, bytes, place, needs }) ? undefined : this.#full(holder, name);
    if (error !== undefined) this.#refused.set(id, error);
    const kept = error === undefined ? this.#keep(id, holder) : undefined;
    for (const told of this.#waiters.get(id) ?? []) told();
    if (error !== undefined && failure === undefined) throw error;
    return afterKept(kept, () => ({ done: {} }));
  }

  async fetch({ id, name, holder }: FetchCode): Promise<AnswerBody> {
    this.#refuseDead(holder, name);
    if (this.#book.find(id) === undefined) await this.#exported(id, name);
    const item = this.#book.find(id) as KnownCode;
    if (item.bytes.length === 0 && item.places.length === 0) {
      throw new CodeUnavailableError(`the code of "${name}" captured large data, and every node that had a copy has died. ` +
        "Make the function again, or put() the data and pass the ref", { codeId: id, functionName: name });
    }
    if (!this.#hold(holder, id)) throw this.#full(holder, name);
    return { codeItem: { id, name: item.name, bytes: item.bytes, places: item.places, needs: item.needs } };
  }

  /** A detached actor keeps the code it may be started again from, whatever becomes of the job that made it. */
  actorReported(info: ActorInfo, spec: ActorSpec | undefined): void {
    if (info.state === "DEAD") return this.release(info.actor);
    if (spec === undefined || !spec.detached) return;
    const codes = [...spec.codes, ...spec.bound.flatMap(({ value }) => value?.codes ?? [])];
    for (const id of [spec.functionId, ...codes.map((code) => code.id)]) this.#hold(info.actor, id);
  }

  /** The job has ended, or the actor. */
  release(holder: string): void {
    const { freed, held } = this.#book.release(holder);
    this.#parts.records.change([
      ...held.map((id): RecordChange => ({ kind: "hold", id: `${holder} ${id}`, bytes: undefined })),
      ...freed.map((id): RecordChange => ({ kind: "code", id, bytes: undefined })),
    ]);
    for (let at = 0; at < freed.length; at += FREED_A_MESSAGE) this.#parts.freed(freed.slice(at, at + FREED_A_MESSAGE));
  }

  holders(): IterableIterator<string> {
    return this.#book.holders();
  }

  nodeDied(node: string): void {
    this.#book.nodeDied(node);
  }

  /** What an earlier head had: items first, then who holds them. */
  #restore(): void {
    const { records } = this.#parts;
    const items = new Map([...records.all("code")].map(([id, bytes]) => [id, fromBytes(CodeItem, bytes)]));
    for (const [key] of records.all("hold")) {
      const [holder, id] = key.split(" ");
      const item = items.get(id);
      if (item === undefined) continue;
      const { name, bytes, places, needs } = item;
      for (const place of places.length === 0 ? [undefined] : places) this.#book.add(holder, { id, name, bytes, place, needs });
    }
  }

  #hold(holder: string, id: string): boolean {
    const held = this.#book.hold(holder, id);
    if (held && this.#book.find(id) !== undefined) this.#parts.records.keep("hold", `${holder} ${id}`, HELD);
    return held;
  }

  #keep(id: string, holder: string): Kept {
    const { records } = this.#parts;
    if (!records.lasting) return undefined;
    const { name, bytes, places, needs } = this.#book.find(id) as KnownCode;
    return records.change([
      { kind: "code", id, bytes: toBytes(CodeItem, { id, name, bytes, places, needs }) },
      { kind: "hold", id: `${holder} ${id}`, bytes: HELD },
    ]);
  }

  /** Waits until the item is here; rejects when it was refused, or does not come. */
  #exported(id: string, name: string): Promise<void> {
    const refused = this.#refused.get(id);
    if (refused !== undefined) return Promise.reject(refused);
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      this.#waiters.set(id, waiters);
      const ended = (error: Error | undefined) => {
        timer.cancel();
        waiters.delete(told);
        if (waiters.size === 0) this.#waiters.delete(id);
        if (error === undefined) resolve();
        else reject(error);
      };
      const told = () => ended(this.#book.find(id) === undefined ? this.#refused.get(id) : undefined);
      const timer: Timer = this.#parts.clock.after(CODE_WAIT_MS, () => ended(absent(id, name)));
      waiters.add(told);
    });
  }

  #refuseDead(holder: string, name: string): void {
    if (!this.#parts.isAlive(holder)) throw new NotFoundError(`the code of "${name}" is for ${holder}, which has ended`);
  }

  #full(holder: string, name: string): CodeStoreFullError {
    const { limit } = this.#parts;
    const taken = this.#book.bytesOf(holder);
    const text = `the code of "${name}" was not taken: functions of ${holder} already take ${taken} of the ${limit} bytes ` +
      "a job may ship. Make functions once, outside of loops, and pass what changes as arguments; " +
      "or raise TROUPE_JOB_CODE_MEMORY where the head runs";
    return new CodeStoreFullError(text, { functionName: name, jobId: holder, limitBytes: limit });
  }
}

function absent(id: string, name: string): CodeUnavailableError {
  const text = `the code of "${name}" did not reach the head within ${CODE_WAIT_MS} ms: the process that was to send it has ` +
    "ended, or its job has. Send the function again";
  return new CodeUnavailableError(text, { codeId: id, functionName: name });
}

/** TROUPE_JOB_CODE_MEMORY: whole bytes. */
export function codeLimitOf(setting: string | undefined): number {
  if (setting === undefined) return JOB_CODE_BYTES;
  if (/^[1-9]\d{0,14}$/.test(setting)) return Number(setting);
  throw new InvalidArgumentError(`TROUPE_JOB_CODE_MEMORY must be a number of bytes, not ${JSON.stringify(setting)}`);
}
