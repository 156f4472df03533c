// What the runs of one process share: time, the way code is run, and who may start.

import { Admission } from "../engine/admission.ts";
import type { Clock } from "./clock.ts";
import type { Runner } from "./runner.ts";

/** Attempts under way at once; what the cluster can hold decides the rest. */
const PARALLELISM = 1024;

export class Engine {
  readonly clock: Clock;
  readonly runner: Runner;
  readonly admission: Admission;

  constructor(clock: Clock, runner: Runner, parallelism = PARALLELISM) {
    this.clock = clock;
    this.runner = runner;
    this.admission = new Admission(parallelism);
  }
}
