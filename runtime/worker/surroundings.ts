// What a worker changes of the process it runs in. In a process of its own that is the whole process; where many workers are in
// one, each has its share of it.

import { showGpus } from "./gpus.ts";
import { shareProcess, type SharedProcessParts } from "./shared-process.ts";

export interface Surroundings {
  /** The code that runs here has these GPUs of the node. */
  showGpus(gpus: readonly number[], before: readonly number[]): void;
  /** Many actors live here: what goes wrong in the code of one ends that one. */
  share(parts: SharedProcessParts): void;
}

export const ownProcess: Surroundings = { showGpus, share: shareProcess };
