// What a run tells: its log of events, the callbacks of its tasks, the assets they have changed.

import type { Coords } from "../engine/plan.ts";
import type { RunState, TaskState } from "../engine/states.ts";
import type { Entry } from "../journal/records.ts";
import type { Draft } from "../graph/draft.ts";
import type { CallbackInfo, Callbacks } from "../graph/options.ts";
import { emittedKey } from "../time/asset-log.ts";
import { assetMade } from "../time/assets.ts";
import type { RunSummary, Told } from "./context.ts";
import { withoutCluster } from "./keys.ts";
import { EventLog, type KeptEvent } from "./event-log.ts";

interface StateTold {
  readonly state: TaskState;
  readonly attempt: number;
  readonly reason?: string | undefined;
}

/** Characters of the stack of an error that the log of a run keeps. */
const STACK_MAX = 4000;
const REASON_MAX = 16_000;
/** Of what is told with one entry of a journal. */
const PART_CHARS = 64 * 1024;

type Said = Extract<Entry, { type: "said" }>;

export class RunVoice {
  readonly log = new EventLog();
  readonly #summary: RunSummary;
  readonly #isLocal: boolean;
  readonly #keep: (entry: Said) => void;
  /** Events of assets, and what else is on its way. */
  readonly #emitting = new Set<Promise<void>>();

  /** `isLocal`: nothing that it calls asks a cluster. */
  constructor(summary: RunSummary, isLocal: boolean, keep: (entry: Said) => void) {
    this.#summary = summary;
    this.#isLocal = isLocal;
    this.#keep = keep;
  }

  run(state: RunState, at: number): void {
    this.#tell({ at, type: "run", state });
  }

  state({ id }: Draft, coords: Coords, { state, attempt, reason }: StateTold, at: number): void {
    this.#tell({ at, type: "task", task: id, coords, attempt, state, value: reason });
  }

  /** What the code of a task told. */
  user({ id }: Draft, coords: Coords, attempt: number, { type, name, value }: Told, at: number): void {
    this.#tell({ at, type, task: id, coords, attempt, name, value });
  }

  /** What went wrong beside the tasks themselves. */
  say(taskId: string | undefined, text: string, at: number, name = "error"): void {
    const said: Said = { type: "said", at, taskId, name, text };
    this.#keep(said);
    this.said(said);
  }

  said({ at, taskId, name, text }: Said): void {
    this.#tell({ at, type: "log", task: taskId, name, value: text });
  }

  #tell({ at, type, task, coords, attempt, state, name, value }: Pick<KeptEvent, "at" | "type"> & Partial<KeptEvent>): void {
    this.log.add({ at, type, task, coords, attempt, state, name, value });
  }

  /** `what`: names this success of the task, whoever tells of it; `kept` resolves when it may be told, and rejects if never. */
  emit(draft: Draft, what: string, at: number, kept: Promise<void> | undefined): void {
    const emitting = kept === undefined ? this.#emit(draft, what, at) : kept.then(() => this.#emit(draft, what, at), () => {});
    this.#emitting.add(emitting);
    void emitting.finally(() => this.#emitting.delete(emitting));
  }

  /** The run is not over before this has settled, whichever way. */
  awaits(work: Promise<unknown> | undefined): void {
    if (work === undefined) return;
    const done = work.then(() => {}, () => {});
    this.#emitting.add(done);
    void done.finally(() => this.#emitting.delete(done));
  }

  /** Undefined when nothing is on its way. */
  emitted(): Promise<unknown> | undefined {
    return this.#emitting.size === 0 ? undefined : Promise.all(this.#emitting);
  }

  async #emit({ id, options: { outlets = [] } }: Draft, what: string, at: number): Promise<void> {
    const source = { dagId: this.#summary.dagId, runId: this.#summary.id, taskId: id };
    await Promise.all([outlets].flat().map(async ({ name }) => {
      const emitted = emittedKey(this.#summary.id, `${what}/${name}`);
      try {
        await assetMade({ asset: name, at: new Date(at), extra: {}, source }, this.#isLocal, emitted);
      } catch (error) {
        this.say(id, `the event of asset ${name} was not delivered: ${messageOf(error)}`, at);
      }
    }));
  }

  /** Callbacks change no state: what they throw is told in the log of the run. */
  call(calls: Callbacks | undefined, info: CallbackInfo): void {
    for (const call of calls === undefined ? [] : [calls].flat()) {
      Promise.resolve().then(() => (this.#isLocal ? withoutCluster(() => call(info)) : call(info))).catch((error: unknown) => {
        this.say(info.task?.id, `a callback failed: ${messageOf(error)}`, Date.now());
      });
    }
  }
}

export function stackOf(error: unknown): string {
  return ((error as Error | undefined)?.stack ?? messageOf(error)).slice(0, STACK_MAX);
}

export function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, REASON_MAX);
}

/** What was told, in parts that a journal takes; at least one. */
export function partsOf(told: readonly Told[]): Told[][] {
  let chars = 0;
  const parts: Told[][] = [[]];
  for (const one of told) {
    chars += one.name.length + String(one.value).length;
    if (chars > PART_CHARS) {
      parts.push([]);
      chars = 0;
    }
    parts.at(-1)!.push(one);
  }
  return parts;
}
