// Actors that live in threads: each is a worker of its own to everybody but the process that it is a thread of.

import type { ActorSpec, ThreadEnded } from "../../transport/index.ts";
import type { WorkerPool } from "../workers/worker-pool.ts";

export interface ActorThreadsParts {
  readonly workers: Pick<WorkerPool, "startThread" | "exitOf" | "kill">;
  readonly granted: (actor: string, thread: string) => void;
}

interface Thread {
  readonly actor: string;
  readonly host: string;
  isReady: boolean;
}

export class ActorThreads {
  readonly #parts: ActorThreadsParts;
  readonly #threads = new Map<string, Thread>();

  constructor(parts: ActorThreadsParts) {
    this.#parts = parts;
  }

  has(process: string): boolean {
    return this.#threads.has(process);
  }

  start({ actor, heapLimit }: ActorSpec, host: string): void {
    const process = this.#parts.workers.startThread(host, heapLimit);
    this.#threads.set(process, { actor, host, isReady: false });
  }

  ready(process: string): void {
    const thread = this.#threads.get(process);
    if (thread === undefined) return;
    thread.isReady = true;
    this.#parts.granted(thread.actor, process);
  }

  /** The actor ended before its thread was there. */
  leave(actor: string): void {
    for (const [process, thread] of this.#threads) {
      if (thread.actor === actor && !thread.isReady) this.#parts.workers.kill(process, "its actor ended");
    }
  }

  /** The word of its process. */
  ended({ process, exitCode, stderrTail }: ThreadEnded): void {
    if (this.has(process)) this.#parts.workers.exitOf(process, { exitCode, signal: undefined, stderrTail: [...stderrTail] });
  }

  /** A thread has ended, or a process with all its threads. */
  workerDied(process: string, text: string): void {
    this.#threads.delete(process);
    for (const [thread, { host }] of [...this.#threads]) {
      if (host !== process) continue;
      this.#parts.workers.kill(thread, `the process that it was a thread of ended: ${text}`, HOST_DIED);
      this.#parts.workers.exitOf(thread, { exitCode: undefined, signal: undefined, stderrTail: [] });
    }
  }
}

/** Why an actor ended that shared a process: what that did is not the actor's fault. */
export const HOST_DIED = "host";
