// The journal of one run, as whoever carries the run out writes it.

import { DagRunFailedError, kv, type KvChange } from "../../sdk/index.ts";
import type { RunState } from "../engine/states.ts";
import type { CancelRequests } from "./cancel-requests.ts";
import { type JournalWriter, piecesOf, type Writer, type Writing } from "./journal-writer.ts";
import { cancelKey, type Entry, type Lease, leaseKey, recordKey, type RunRecord } from "./records.ts";

export interface JournalParts {
  readonly writer: JournalWriter;
  readonly holder: { readonly id: string; readonly cancels: CancelRequests };
  /** How results outlive this process. */
  readonly keep: (runId: string, handles: readonly unknown[]) => Promise<void>;
}

interface Flush {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Prepared {
  readonly entries: readonly Entry[];
  readonly changes: readonly KvChange[];
}

const NOTHING: Prepared = { entries: [], changes: [] };

export class RunJournal implements Writer {
  readonly #writer: JournalWriter;
  readonly #holder: JournalParts["holder"];
  readonly #keep: JournalParts["keep"];
  #record: RunRecord;
  #lease: Lease;
  #entries: Entry[] = [];
  #handles: unknown[] = [];
  #prepared: Prepared = NOTHING;
  #changes: KvChange[] = [];
  #piece: number;
  #isFirst: boolean;
  #waiting: Flush[] = [];
  #underWay: Flush[] = [];
  #isBusy = false;
  /** The run is open, and this process carries it out. What is told while it is not goes with its next opening. */
  #isHeld: boolean;
  #lost: Error | undefined;
  #isTaken = false;
  /** Told once when another process has taken the run over. */
  onLost: (error: Error) => void = () => {};
  /** Another process asks for its end. */
  onCancel: (reason: string) => void = () => {};

  /** `piece`: the next one to be written; with 0 the run is new. `isHeld`: this process has its lease. */
  constructor({ writer, holder, keep }: JournalParts, record: RunRecord, piece: number, isHeld = true) {
    this.#keep = keep;
    this.#isHeld = isHeld;
    this.#writer = writer;
    this.#holder = holder;
    this.#record = record;
    this.#piece = piece;
    this.#isFirst = piece === 0;
    this.#lease = { holder: holder.id, epoch: record.epoch };
    if (isHeld) holder.cancels.hear(record.id, this);
  }

  get record(): RunRecord {
    return this.#record;
  }

  /** Another process has the run, or the checks of its creation did not hold. */
  get isTaken(): boolean {
    return this.#isTaken;
  }

  /** Makes it, with what is appended in the same turn. @throws when a check among the changes does not hold. */
  async create(changes: readonly KvChange[]): Promise<void> {
    const { id } = this.#record;
    this.#change(
      { type: "check", key: recordKey(id), value: undefined },
      ...changes,
      { type: "set", key: leaseKey(id), value: this.#lease },
      { type: "set", key: recordKey(id), value: this.#record },
    );
    await this.flushed();
  }

  append(entry: Entry): void {
    if (this.#lost !== undefined) return;
    this.#entries.push(entry);
    if (this.#isHeld) this.#writer.wants(this);
  }

  /** A result that an entry is about to name: it outlives this process before the entry does. */
  holds(handle: unknown): void {
    this.#handles.push(handle);
  }

  /** Also everything that was appended before is kept when it resolves. */
  async ended(state: RunState, at: Date): Promise<void> {
    this.#record = { ...this.#record, state, endedAt: at };
    const { id } = this.#record;
    this.#change(
      { type: "set", key: recordKey(id), value: this.#record },
      { type: "delete", key: leaseKey(id) }, { type: "delete", key: cancelKey(id) },
    );
    this.#holder.cancels.forget(id, this);
    const kept = this.flushed();
    this.#isHeld = false;
    await kept;
  }

  /** What another process has asked for. */
  cancel(reason: string): Promise<void> {
    this.onCancel(reason);
    return this.flushed();
  }

  /** A run that is over goes on, here, unless another process was faster. */
  async reopen(): Promise<boolean> {
    const { id } = this.#record;
    const before = this.#record;
    const lease = { holder: this.#holder.id, epoch: before.epoch + 1 };
    const record: RunRecord = { ...before, epoch: lease.epoch, state: "running", endedAt: undefined };
    const taken = await kv.batch([
      { type: "check", key: leaseKey(id), value: undefined },
      { type: "check", key: recordKey(id), value: before },
      { type: "set", key: leaseKey(id), value: lease },
      { type: "set", key: recordKey(id), value: record },
    ]);
    if (taken) {
      [this.#lease, this.#record, this.#isHeld] = [lease, record, true];
      this.#holder.cancels.hear(id, this);
    }
    return taken;
  }

  /** Resolves when everything so far is kept. @throws when another process has the run. */
  flushed(): Promise<void> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost);
    if (this.#entries.length === 0 && this.#changes.length === 0 && !this.#isBusy) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#writer.wants(this);
    });
  }

  // -- what the writer asks ----------------------------------------------------------------------------------------------

  get size(): number {
    return this.#entries.length;
  }

  prepare(): Promise<void> | undefined {
    // What comes while results are being kept goes with the next writing.
    this.#prepared = { entries: this.#entries, changes: this.#changes };
    [this.#entries, this.#changes] = [[], []];
    [this.#underWay, this.#waiting] = [this.#waiting, []];
    this.#isBusy = true;
    if (this.#handles.length === 0) return undefined;
    const handles = this.#handles;
    this.#handles = [];
    // One that can't be kept is made again when somebody goes on with the run.
    return this.#keep(this.#record.id, handles).catch(() => {});
  }

  take(): Writing | undefined {
    const { entries, changes } = this.#prepared;
    this.#prepared = NOTHING;
    if (this.#lost !== undefined) return void this.lost(this.#lost);
    if (entries.length === 0 && changes.length === 0) return void this.written();
    const pieces = piecesOf(this.#record.id, this.#piece, entries);
    this.#piece += pieces.length;
    const isFirst = this.#isFirst;
    this.#isFirst = false;
    return { runId: this.#record.id, lease: this.#lease, pieces, changes, isFirst };
  }

  written(): void {
    const done = this.#underWay;
    [this.#underWay, this.#isBusy] = [[], false];
    for (const { resolve } of done) resolve();
  }

  lost(cause: unknown): void {
    const { id, dagId } = this.#record;
    this.#holder.cancels.forget(id, this);
    const what = cause === undefined ? "another process carries it out now" : "its journal can't be written";
    const isFirst = this.#lost === undefined;
    this.#isTaken ||= cause === undefined;
    this.#lost ??= new DagRunFailedError(`run ${id} of ${dagId} can't go on here: ${what}`, { runId: id, failures: [] }, cause);
    for (const { reject } of [...this.#underWay, ...this.#waiting]) reject(this.#lost);
    [this.#underWay, this.#waiting, this.#entries, this.#changes, this.#isBusy] = [[], [], [], [], false];
    if (isFirst) this.onLost(this.#lost);
  }

  #change(...changes: KvChange[]): void {
    this.#changes.push(...changes);
  }
}
