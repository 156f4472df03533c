// The head as a child of the agent on its machine: started, and started again when it dies.

import { HeadUnavailableError } from "../../errors.ts";
import type { ChildProcess, Clock, Random, Spawner, Timer } from "../../seams.ts";
import type { AgentConfig, HeadConfig } from "../config.ts";

const START_TIMEOUT_MS = 30_000;
/** A head that dies more often is not started again: what ends it is no accident. */
export const RESTARTS_MAX = 5;
export const RESTARTS_WITHIN_MS = 60_000;

export interface HeadProcessParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly spawner: Spawner;
  readonly config: AgentConfig;
  /** It can't be started, or dies again and again. */
  readonly failed: (reason: string) => void;
}

interface Waiter {
  resolve(): void;
  reject(error: Error): void;
}

export class HeadProcess {
  readonly #parts: HeadProcessParts;
  readonly #deaths: number[] = [];
  #child: ChildProcess | undefined;
  #isUp = false;
  #wasUp = false;
  #starting: Timer | undefined;
  #waiters: Waiter[] = [];
  #held = false;
  #closed = false;
  /** The end of the child. */
  #gone = Promise.resolve();

  constructor(parts: HeadProcessParts) {
    this.#parts = parts;
  }

  get address(): string {
    return `unix:${this.#parts.config.sessionDir}/head.sock`;
  }

  start(): void {
    const { clock, spawner } = this.#parts;
    let gone: () => void = () => {};
    this.#gone = new Promise((resolve) => (gone = resolve));
    const child = spawner.spawn({
      program: "head",
      config: this.#config(),
      onLine: (stream, line) => process[stream].write(`${line}\n`),
      onReady: () => {
        this.#starting?.cancel();
        this.#isUp = true;
        this.#wasUp = true;
        for (const { resolve } of this.#take()) resolve();
      },
      onExit: (exit) => {
        gone();
        this.#died(`${exit.signal ?? `exit code ${exit.exitCode}`} ${exit.stderrTail.join("\n")}`.trim());
      },
    });
    this.#child = child;
    this.#starting = clock.after(START_TIMEOUT_MS, () => child.kill());
  }

  /** Resolves when it is there, rejects when it is given up. */
  up(): Promise<void> {
    if (this.#isUp) return Promise.resolve();
    return new Promise((resolve, reject) => void this.#waiters.push({ resolve, reject }));
  }

  /** It lives and is of no use. */
  end(why: string): void {
    process.stderr.write(`troupe agent: the head is ended: ${why}\n`);
    this.#isUp = false;
    this.#child?.kill();
  }

  /** For tests: a head that is held is killed, and started again when it is let go. Resolves when it is gone, or there again. */
  async hold(held: boolean): Promise<void> {
    const wasHeld = this.#held;
    this.#held = held;
    if (held) {
      this.#child?.kill();
      await this.#gone;
    } else if (wasHeld && !this.#closed) {
      if (this.#child === undefined) this.start();
      await this.up();
    }
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill();
    for (const { reject } of this.#take()) reject(new HeadUnavailableError("the head's node ends"));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #died(how: string): void {
    const { clock, failed } = this.#parts;
    this.#starting?.cancel();
    this.#child = undefined;
    this.#isUp = false;
    if (this.#closed || this.#held) return;
    if (!this.#wasUp) {
      for (const { reject } of this.#take()) reject(new HeadUnavailableError(`the head could not be started: ${how}`));
      return;
    }
    const now = clock.now();
    this.#deaths.push(now);
    if (this.#deaths.length > RESTARTS_MAX + 1) this.#deaths.shift();
    if (this.#deaths.length > RESTARTS_MAX && now - this.#deaths[0] < RESTARTS_WITHIN_MS) {
      const often = `${RESTARTS_MAX + 1} times within ${RESTARTS_WITHIN_MS} ms`;
      const text = `the head died ${often} and is not started again; at last: ${how}`;
      for (const { reject } of this.#take()) reject(new HeadUnavailableError(text));
      return failed(text);
    }
    process.stderr.write(`troupe agent: the head died (${how}) and is started again\n`);
    this.start();
  }

  #take(): Waiter[] {
    const waiters = this.#waiters;
    this.#waiters = [];
    return waiters;
  }

  /** What a head keeps "nowhere" outlives its process all the same, and goes with the node. */
  #config(): HeadConfig {
    const { clusterId, token, sessionDir, nodeId, storage = "" } = this.#parts.config;
    return {
      clusterId, nodeId, token, sessionDir, processId: this.#parts.random.hex(8), listen: this.address,
      storage: storage === "" ? `${sessionDir}/head` : storage, storageSynced: storage !== "",
    };
  }
}
