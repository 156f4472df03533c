// The seams: everything a shell needs from outside the language comes in through these interfaces, so that a whole cluster can
// run in one process under virtual time and a seed. Only runtime/system.ts (real) and the simulator implement them.

import type { Transport } from "./transport/channel.ts";

export interface Timer {
  /** Idempotent. After it the callback never runs. */
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; fractions allowed. Never compared across processes. */
  now(): number;
  /** Milliseconds since 1970, for people and logs only. */
  wallNow(): number;
  /** Runs `callback` once, after `delayMs` by `now()`, never before. Does not keep the process alive unless `hold` is true. */
  after(delayMs: number, callback: () => void, hold?: boolean): Timer;
  /** Runs `callback` after what is ready now had its turn: the next turn of the event loop. */
  soon(callback: () => void): void;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `bytes` random bytes as lower-case hex; unguessable in real processes, seeded in simulation. */
  hex(bytes: number): string;
}

/** How a child ended: exactly what waitpid said, and the last lines it wrote to stderr. */
export interface ChildExit {
  readonly exitCode: number | undefined;
  readonly signal: string | undefined;
  readonly stderrTail: readonly string[];
}

export interface ChildProcess {
  readonly pid: number;
  /** SIGKILL to the child's whole process group. Idempotent. */
  kill(): void;
  signal(name: "SIGTERM" | "SIGINT" | "SIGSTOP" | "SIGCONT"): void;
}

export interface SpawnRequest {
  readonly program: "head" | "agent" | "worker" | "installer";
  /** JSON handed over the lifeline pipe, never argv or environment: it holds the token. */
  readonly config: unknown;
  readonly environment?: Readonly<Record<string, string>> | undefined;
  readonly nodeArgs?: readonly string[] | undefined;
  /** Where it runs; default where this process does. */
  readonly folder?: string | undefined;
  onLine?(stream: "stdout" | "stderr", line: string): void;
  /** What the program says of itself once it is up, e.g. its address. */
  onReady?(said: Readonly<Record<string, unknown>>): void;
  /** Exactly once, also when the start itself failed. */
  onExit(exit: ChildExit): void;
}

export interface Spawner {
  spawn(request: SpawnRequest): ChildProcess;
}

export interface Seams {
  readonly clock: Clock;
  readonly random: Random;
  readonly transport: Transport;
  readonly spawner: Spawner;
}
