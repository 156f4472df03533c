// The journal of a process: what its runs append goes to the key-value store in batches, one commit after the other.
//
// Whatever comes while one commit is on its way goes with the next, of all runs together. Each batch checks the leases of its
// runs, so who has lost a lease appends nothing. A batch may be sent again: its pieces have fixed keys.

import { ConnectionError, HeadUnavailableError, isInitialized, kv, type KvChange } from "../../sdk/index.ts";
import { type Entry, journalKey, type Lease, leaseKey } from "./records.ts";

/** Of one piece; a value of the store may have 1 MiB, in UTF-8. */
const PIECE_CHARS = 256 * 1024;
/** Of one batch, before it takes in another run. */
const BATCH_ENTRIES = 5000;
const TRIES = 60;
const TRY_AGAIN_MS = 500;

/** What one run has to write. */
export interface Writing {
  readonly runId: string;
  readonly lease: Lease;
  readonly pieces: readonly { readonly key: string; readonly text: string }[];
  /** Beside the pieces: the record, the end of the lease. */
  readonly changes: readonly KvChange[];
  readonly isFirst: boolean;
}

export interface Writer {
  /** Entries that wait to be written. */
  readonly size: number;
  /** What has to be done before what is to be written is true. */
  prepare(): Promise<void> | undefined;
  /** Undefined when nothing is left to write. */
  take(): Writing | undefined;
  written(): void;
  /** It is somebody else's now, or it can't be written any more. */
  lost(error: unknown): void;
}

export class JournalWriter {
  readonly #waiting = new Set<Writer>();
  #isBusy = false;

  wants(writer: Writer): void {
    this.#waiting.add(writer);
    if (this.#isBusy) return;
    this.#isBusy = true;
    // What else happens in this turn goes with it.
    queueMicrotask(() => void this.#work());
  }

  async #work(): Promise<void> {
    while (this.#waiting.size > 0) {
      const writers = this.#some();
      const before = writers.flatMap((writer) => writer.prepare() ?? []);
      if (before.length > 0) await Promise.all(before);
      const writing: Writer[] = [];
      const writings: Writing[] = [];
      for (const writer of writers) {
        const one = writer.take();
        if (one === undefined) continue;
        writing.push(writer);
        writings.push(one);
      }
      await this.#write(writing, writings);
    }
    this.#isBusy = false;
  }

  /** As many as fit into one batch. */
  #some(): Writer[] {
    const some: Writer[] = [];
    let size = 0;
    for (const writer of this.#waiting) {
      if (size > BATCH_ENTRIES) break;
      this.#waiting.delete(writer);
      some.push(writer);
      size += writer.size;
    }
    return some;
  }

  async #write(writers: readonly Writer[], writings: readonly Writing[]): Promise<void> {
    if (writings.length === 0) return;
    const rivals = rivalsOf(writings);
    if (rivals.size > 0) {
      const part = async (are: boolean): Promise<void> => this.#write(
        writers.filter((_writer, i) => rivals.has(writings[i]) === are), writings.filter((one) => rivals.has(one) === are),
      );
      await part(false);
      return part(true);
    }
    try {
      if (await commit(writings)) return writers.forEach((writer) => writer.written());
      if (writings.length === 1) return writers[0].lost(undefined);
      // One of them has lost its lease: who it is shows when each is written by itself.
      for (const [i, writer] of writers.entries()) await this.#write([writer], [writings[i]]);
    } catch (error) {
      for (const writer of writers) writer.lost(error);
    }
  }
}

/**
 * Those that check what one before them changes, as two runs do that want the same turn: a commit checks everything before it
 * changes anything, so they go with a later one.
 */
function rivalsOf(writings: readonly Writing[]): Set<Writing> {
  const changed = new Set<string>();
  const rivals = new Set<Writing>();
  for (const one of writings) {
    if (one.changes.some(({ type, key }) => type === "check" && changed.has(key))) rivals.add(one);
    else for (const { type, key } of one.changes) if (type !== "check") changed.add(key);
  }
  return rivals;
}

async function commit(writings: readonly Writing[]): Promise<boolean> {
  const changes = writings.flatMap(changesOf);
  for (let tries = 1; ; tries += 1) {
    try {
      // It would be another cluster that a call starts by itself.
      if (!isInitialized()) throw new ConnectionError("this process has left the cluster");
      if (await kv.batch(changes)) return true;
      // An earlier try may have been applied although its answer was lost.
      return tries > 1 && (await isWritten(writings));
    } catch (error) {
      if (!(error instanceof HeadUnavailableError) || tries >= TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
    }
  }
}

function changesOf({ runId, lease, pieces, changes, isFirst }: Writing): KvChange[] {
  const held: KvChange[] = isFirst ? [] : [{ type: "check", key: leaseKey(runId), value: lease }];
  return [...held, ...pieces.map(({ key, text }) => ({ type: "set" as const, key, value: text })), ...changes];
}

function isWritten(writings: readonly Writing[]): Promise<boolean> {
  return kv.batch(writings.flatMap(changesOf).flatMap((change) => (
    change.type === "set" ? [{ type: "check" as const, key: change.key, value: change.value }] : []
  )));
}

/** Entries as pieces that the store takes. */
export function piecesOf(runId: string, first: number, entries: readonly Entry[]): { key: string; text: string }[] {
  const pieces: { key: string; text: string }[] = [];
  let [lines, chars]: [string[], number] = [[], 0];
  const close = (): void => {
    if (lines.length > 0) pieces.push({ key: journalKey(runId, first + pieces.length), text: `[${lines.join(",\n")}]` });
    [lines, chars] = [[], 0];
  };
  for (const entry of entries) {
    const line = JSON.stringify(entry);
    if (chars + line.length > PIECE_CHARS) close();
    lines.push(line);
    chars += line.length;
  }
  close();
  return pieces;
}
