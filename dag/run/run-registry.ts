// The runs that this process has made, by id: those that are not over, and the latest ones that are.

import { NotFoundError } from "../../sdk/index.ts";
import type { DagRun } from "./dag-run.ts";

const ENDED_MAX = 1000;

class RunRegistry {
  readonly #runs = new Map<string, DagRun>();
  #ended: string[] = [];

  add(run: DagRun): void {
    this.#runs.set(run.id, run);
    void run.done().then(() => {
      this.#ended.push(run.id);
      if (this.#ended.length <= ENDED_MAX) return;
      const oldest = this.#ended.shift() as string;
      this.#runs.get(oldest)?.forget();
      this.#runs.delete(oldest);
    });
  }

  /** @throws NotFoundError. */
  get(id: string): DagRun {
    const run = this.#runs.get(id);
    if (run === undefined) throw new NotFoundError(`run ${id} is not known here`);
    return run;
  }

  /** Of a graph or of all, oldest first. */
  all(dagId?: string): DagRun[] {
    return [...this.#runs.values()].filter((run) => dagId === undefined || run.dagId === dagId);
  }
}

export const runs = new RunRegistry();

/** Runs again what has not succeeded. */
export async function resume(runId: string): Promise<DagRun> {
  return runs.get(runId).resume();
}

/** Runs a task again, and what comes after it. */
export async function clear(
  runId: string,
  { task, downstream }: { task: string | readonly string[]; downstream?: boolean },
): Promise<DagRun> {
  return runs.get(runId).clear(task, { downstream });
}

/** Gives a task another end by hand. */
export async function mark(runId: string, task: string, state: "success" | "failed" | "skipped"): Promise<DagRun> {
  return runs.get(runId).mark(task, state);
}
