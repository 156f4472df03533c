// What the runs of one process share: time, the way code is run, who may start, and where what happens is kept.

import { Admission, type Waiting } from "../engine/admission.ts";
import { Holder } from "../journal/holder.ts";
import { JournalWriter } from "../journal/journal-writer.ts";
import type { JournalParts } from "../journal/run-journal.ts";
import type { Program } from "../journal/programs.ts";
import { type Clock, systemClock } from "./clock.ts";
import { ClusterPools } from "./cluster-pools.ts";
import { ClusterRunner } from "./cluster-runner.ts";
import type { Runner } from "./runner.ts";
import { StartWatch } from "./start-watch.ts";

/** Attempts under way at once; what the cluster can hold decides the rest. */
const PARALLELISM = 1024;

export interface Journals extends JournalParts {
  readonly holder: Holder;
}

/** The graphs that this process has made, by id: the newest ones. */
const latest = new Map<string, Program>();

export function knowProgram(program: Program): void {
  latest.set(program.id, program);
}

export class Engine {
  readonly clock: Clock;
  readonly runner: Runner;
  readonly admission: Admission;
  readonly starts = new StartWatch();
  /** Undefined for runs that nobody is to know of after this process. */
  readonly journals: Journals | undefined;
  /** Undefined where no other process has tasks of these pools. */
  readonly #pools: ClusterPools | undefined;
  #isStarting = false;

  constructor(clock: Clock, runner: Runner, journals?: Journals, parallelism = PARALLELISM) {
    this.clock = clock;
    this.runner = runner;
    this.journals = journals;
    this.admission = new Admission(parallelism);
    this.#pools = journals && new ClusterPools(journals.holder);
  }

  /** What may run is started when all is there that is ready in this turn: the most important first, whoever was told first. */
  start(): void {
    if (this.#isStarting) return;
    this.#isStarting = true;
    queueMicrotask(() => {
      this.#isStarting = false;
      this.admission.start();
    });
  }

  /** The slots of its pool, beside those of other processes; undefined where nobody has to be asked. */
  slotsOf({ pool, poolSlots }: Waiting): Promise<void> | undefined {
    return pool && this.#pools?.take(pool, poolSlots);
  }

  /** What was let in, and has the slots of its pool, has ended. */
  ended(waiting: Waiting): void {
    this.admission.ended(waiting);
    if (waiting.pool !== undefined) this.#pools?.release(waiting.pool, waiting.poolSlots);
  }

  latest(dagId: string): Program | undefined {
    return latest.get(dagId);
  }
}

let onCluster: Engine | undefined;

/** The one of this process, for runs on the cluster. */
export function clusterEngine(): Engine {
  return (onCluster ??= engineOf());
}

/** That of the process of a service, of which there is one at a time. */
export function serviceEngine(service: string): Engine {
  return (onCluster = engineOf(service));
}

function engineOf(service?: string): Engine {
  const runner = new ClusterRunner();
  const keep = (runId: string, handles: readonly unknown[]): Promise<void> => runner.keep(runId, handles);
  return new Engine(systemClock, runner, { writer: new JournalWriter(), holder: new Holder(service), keep });
}
