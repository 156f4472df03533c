// Items of streams that are lost, made again: their generator runs once more, beside the stream's own run when that still goes
// on, and sends them alone.
//
// Lineage knows an item as soon as it came, for one that was taken may be lost before the generator ends. A run that makes items
// again is a task, or call, with a number of its own; its generator is ended behind the last item that is wanted.

import type { Lineage, StreamPosition } from "../../core/index.ts";
import { failureOf, ReconstructionFailedError } from "../../errors.ts";
import type { Failure } from "../../transport/index.ts";
import type { ActorCallRecord } from "../actors/actor-call.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import { callRun, endedTask, type GivenAgain, type Run, taskRun } from "./reruns.ts";
import type { Session } from "../session.ts";
import type { TaskRecord } from "../tasks/task-record.ts";
import { isError, type WireValue } from "../values/wire-value.ts";

/** What becomes of objects that were lost, by number. */
export interface ItemOutcomes {
  readonly made: (number: number, run: Run, value: WireValue) => void;
  readonly failed: (number: number, run: Run, error: WireValue) => void;
  /** It was lost again, or too late for the run that has ended: if anybody wants it, it needs another. */
  readonly wanted: (number: number) => void;
}

interface Item {
  readonly run: Run;
  readonly index: number;
}

interface Rerun {
  readonly run: Run;
  /** What it has not sent yet: objects by index. */
  readonly missing: Map<number, number>;
  readonly retriesLeft: number;
}

export class LostItems {
  readonly #session: Session;
  readonly #lineage: Lineage<Run>;
  readonly #outcomes: ItemOutcomes;
  /** Objects that lineage knows. */
  readonly #items = new Map<number, Item>();
  /** Those of each stream. */
  readonly #numbers = new Map<Run, Set<number>>();
  readonly #runs = new WeakMap<TaskRecord | ActorCallRecord, Run>();
  /** By the number of their own. */
  readonly #reruns = new Map<number, Rerun>();

  constructor(session: Session, lineage: Lineage<Run>, outcomes: ItemOutcomes) {
    this.#session = session;
    this.#lineage = lineage;
    this.#outcomes = outcomes;
  }

  /** An item of the task or call of that number came, and lies in a store. */
  came(task: number, index: number, { number }: ObjectEntry): void {
    const { submission, actors, borrowing } = this.#session;
    const record = submission.find(task);
    const found = actors.find(task);
    const run = record === undefined ? found && this.#runOf(found.call, () => callRun(this.#session, found.client, found.call))
      : this.#runOf(record, () => taskRun(this.#session, record));
    if (run === undefined) return;
    const retriesLeft = record?.life.retriesLeft ?? found?.call.retriesLeft ?? 0;
    this.#items.set(number, { run, index });
    this.#numbers.set(run, (this.#numbers.get(run) ?? new Set()).add(number));
    for (const entry of run.byValue) borrowing.addLocal(entry);
    const isFirst = this.#lineage.yielded(endedTask(this.#session, run, [number], retriesLeft));
    if (!isFirst) for (const entry of run.byValue) borrowing.dropLocal(entry);
  }

  /** It will not be made again. */
  forgotten(object: number): void {
    const item = this.#items.get(object);
    if (item === undefined) return;
    this.#items.delete(object);
    const numbers = this.#numbers.get(item.run);
    numbers?.delete(object);
    if (numbers?.size === 0) this.#numbers.delete(item.run);
  }

  /** What is lost of a stream, and wanted now. */
  runAgain(run: Run, given: GivenAgain, retriesLeft: number): void {
    const missing = new Map<number, number>();
    for (const number of this.#numbers.get(run) ?? []) {
      if (this.#lineage.isMaking(number)) missing.set((this.#items.get(number) as Item).index, number);
    }
    const standIn = this.#session.newEntry();
    this.#reruns.set(standIn.number, { run, missing, retriesLeft });
    run.start(given, { results: [standIn], attempt: run.attempt, retriesLeft });
  }

  /** Of a run that makes items again. */
  position(number: number): StreamPosition | undefined {
    const rerun = this.#reruns.get(number);
    return rerun && { received: 0, taken: 0, missing: [...rerun.missing.keys()] };
  }

  /** False when no run of that number makes items again. */
  arrived(number: number, index: number, value: WireValue): boolean {
    const rerun = this.#reruns.get(number);
    const object = rerun?.missing.get(index);
    if (rerun === undefined || object === undefined) return false;
    rerun.missing.delete(index);
    this.#lineage.arrived(object);
    this.#outcomes.made(object, rerun.run, value);
    return true;
  }

  /** The run whose entry this is has ended. False when it is none that makes items again. */
  ended({ number }: ObjectEntry, value: WireValue): boolean {
    const rerun = this.#reruns.get(number);
    if (rerun === undefined) return false;
    this.#reruns.delete(number);
    const { run, missing, retriesLeft } = rerun;
    const expected = new Set(missing.values());
    if (isError(value) || expected.size > 0) {
      this.#lineage.failed(run.number);
      const error = isError(value) ? value : endedEarly(run);
      for (const object of expected) this.#outcomes.failed(object, run, error);
      return true;
    }
    const late = [...(this.#numbers.get(run) ?? [])].filter((object) => this.#lineage.isMaking(object));
    for (const object of late) this.#lineage.missed(object);
    if (this.#lineage.isRunning(run.number)) this.#lineage.ended(endedTask(this.#session, run, [], retriesLeft));
    for (const object of late) this.#outcomes.wanted(object);
    return true;
  }

  #runOf(record: TaskRecord | ActorCallRecord, make: () => Run): Run {
    let run = this.#runs.get(record);
    if (run === undefined) this.#runs.set(record, (run = make()));
    return run;
  }
}

function endedEarly({ name }: Run): WireValue {
  const error = new ReconstructionFailedError(`"${name}" yielded fewer items than before`);
  return { failure: failureOf(error) as Failure };
}
