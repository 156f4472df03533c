// Threads of this worker's process: each runs a worker of its own, with a heap of its own.

import { rmSync } from "node:fs";
import type { Worker } from "node:worker_threads";
import type { Channel, EndThread, StartThread } from "../transport/index.ts";

const MIB = 1024 * 1024;
const TAIL_LINES = 20;

export interface ThreadHostParts {
  readonly agent: Channel;
  readonly sessionDir: string;
}

export class ThreadHost {
  readonly #parts: ThreadHostParts;
  /** Undefined while it is made. */
  readonly #threads = new Map<string, Worker | undefined>();

  constructor(parts: ThreadHostParts) {
    this.#parts = parts;
  }

  /** A repeat changes nothing. */
  async start({ process: id, config, heapLimit }: StartThread): Promise<void> {
    if (this.#threads.has(id)) return;
    this.#threads.set(id, undefined);
    const { Worker: Thread } = await import("node:worker_threads");
    // It was ended already.
    if (!this.#threads.has(id)) return this.#ended(id, 0, []);
    const resourceLimits = heapLimit === 0 ? undefined : { maxOldGenerationSizeMb: Math.max(1, Math.ceil(heapLimit / MIB)) };
    const thread = new Thread(new URL("./thread.js", import.meta.url), { workerData: JSON.parse(config), resourceLimits });
    this.#threads.set(id, thread);
    let tail: string[] = [];
    thread.on("error", (error: Error) => {
      const text = error.stack ?? String(error);
      tail = text.split("\n").slice(0, TAIL_LINES);
      process.stderr.write(`${text}\n`);
    });
    thread.once("exit", (code) => {
      this.#threads.delete(id);
      this.#ended(id, code, tail);
    });
  }

  end({ process: id }: EndThread): void {
    const thread = this.#threads.get(id);
    if (thread === undefined) this.#threads.delete(id);
    else void thread.terminate();
  }

  #ended(id: string, exitCode: number, stderrTail: string[]): void {
    // An ended thread can't remove its own socket.
    rmSync(`${this.#parts.sessionDir}/${id}.sock`, { force: true });
    this.#parts.agent.send("threadEnded", { process: id, exitCode, stderrTail });
    this.#parts.agent.flush();
  }
}
