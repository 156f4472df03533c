// Saves the node when its memory runs out: ends one worker after the other, as core/memory-relief.ts chooses, before the kernel
// ends anything it likes. The end is told as what it is, and the tasks are tried again within a budget of their own.

import { type MemoryHolder, reliefOf } from "../../core/index.ts";
import { OUT_OF_MEMORY } from "../../errors.ts";
import type { Clock, Timer } from "../../seams.ts";
import type { WorkerPool } from "./worker-pool.ts";

const LOOK_EVERY_MS = 250;

/** What can be known of this machine's memory. */
export interface NodeMemory {
  /** Why there is too little, in words; undefined while there is enough. `pids` are the workers'. */
  shortage(pids: readonly number[]): string | undefined;
  /** Memory that is a process's alone, in bytes: pages of the object store are not. */
  ownBytes(pid: number): number;
  /** Processes that the kernel has ended for want of memory since it started. */
  kernelKills(): number;
}

export interface MemoryWatchParts {
  readonly clock: Clock;
  readonly memory: NodeMemory;
  readonly workers: WorkerPool;
  readonly isLeased: (process: string) => boolean;
}

export class MemoryWatch {
  readonly #parts: MemoryWatchParts;
  /** Is being ended: what its memory is good for shows afterwards. */
  #ending: string | undefined;
  #timer: Timer | undefined;

  constructor(parts: MemoryWatchParts) {
    this.#parts = parts;
    this.#schedule();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #schedule(): void {
    this.#timer = this.#parts.clock.after(LOOK_EVERY_MS, () => {
      this.#look();
      this.#schedule();
    });
  }

  #look(): void {
    const { memory, workers, isLeased } = this.#parts;
    if (this.#ending !== undefined && workers.get(this.#ending) !== undefined) return;
    const all = workers.all().filter(({ child }) => child.pid > 0);
    const shortage = memory.shortage(all.map(({ child }) => child.pid));
    if (shortage === undefined) return;
    const holders = all.map(({ process, child, actor, worksSince }): MemoryHolder => ({
      process, bytes: memory.ownBytes(child.pid), since: worksSince,
      work: actor !== undefined ? "actor" : isLeased(process) ? "task" : "none",
    }));
    const found = reliefOf(holders);
    if (found === undefined) return;
    this.#ending = found.process;
    workers.kill(found.process, `${shortage}; it held ${Math.round(found.bytes / MIB)} MiB of its own`, OUT_OF_MEMORY);
  }
}

const MIB = 1024 * 1024;
