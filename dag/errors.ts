// Errors of the orchestration layer.

import { InvalidArgumentError, TroupeError } from "../sdk/index.ts";

/** The graph itself is wrong: a cycle, an unknown id, a value used before it is there. Thrown while it is built. */
export class GraphError extends InvalidArgumentError { static override readonly code: string = "GRAPH"; }

export interface TaskFailure {
  /** With its index: `train[2]`. */
  readonly taskId: string;
  readonly error: unknown;
}

/** The run ended without success. `failures` has what failed by itself; what only lay after it is not among them. */
export class DagRunFailedError extends TroupeError {
  static override readonly code: string = "DAG_RUN_FAILED";
  declare readonly runId: string;
  declare readonly failures: readonly TaskFailure[];
}
