// Follows a run that another process carries out: what its journal says from time to time happens to the picture of it here.

import { ConnectionError, isInitialized } from "../../sdk/index.ts";
import { isOver } from "../engine/states.ts";
import { entriesOf } from "../journal/run-library.ts";
import type { DagRun } from "./dag-run.ts";

const LOOK_MS = 250;

export class Follower {
  readonly #run: DagRun;
  /** Asks for its end. */
  readonly cancel: (reason: string) => Promise<void>;
  #next: number;
  /** Somebody waits for it: this process does not end meanwhile. */
  #isAwaited = false;
  #timer: NodeJS.Timeout | undefined;

  /** `from`: the first piece of the journal that the run has not seen. */
  constructor(run: DagRun, from: number, cancel: (reason: string) => Promise<void>) {
    this.#run = run;
    this.cancel = cancel;
    this.#next = from;
    this.#again();
  }

  awaited(): void {
    this.#isAwaited = true;
    this.#timer?.ref();
  }

  #again(): void {
    if (isOver(this.#run.state)) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
    if (!this.#isAwaited) this.#timer.unref();
  }

  async #look(): Promise<void> {
    try {
      if (!isInitialized()) throw new ConnectionError("this process has left the cluster");
      const { entries, next } = await entriesOf(this.#run.id, this.#next);
      this.#next = next;
      this.#run.replay(entries);
      this.#again();
    } catch (error) {
      this.#run.leave(error as Error);
    }
  }
}
