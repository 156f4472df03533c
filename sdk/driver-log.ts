// What workers print, on the driver's own streams: each line with the process it came from, in order. Folded, a line that was
// printed lately is counted instead of printed again, whoever prints it, and the count is told after a while: nothing is lost.

import type { Clock, Timer } from "../runtime/seams.ts";
import type { LogLines } from "../runtime/transport/index.ts";

const FOLD_MS = 5000;
/** Different lines that are remembered; beyond, a line is printed as it comes. */
const LINES_MAX = 1000;

export interface DriverLogParts {
  readonly clock: Clock;
  readonly folded: boolean;
  readonly write: (line: string, stderr: boolean) => void;
}

interface Repeated {
  readonly line: string;
  readonly stderr: boolean;
  count: number;
  readonly pids: Set<number>;
}

export class DriverLog {
  readonly #parts: DriverLogParts;
  readonly #seen = new Map<string, Repeated>();
  #timer: Timer | undefined;

  constructor(parts: DriverLogParts) {
    this.#parts = parts;
  }

  printed({ pid, stderr, lines }: LogLines): void {
    for (const line of lines) {
      if (this.#parts.folded && this.#isRepeated(line, stderr, pid)) continue;
      this.#parts.write(`(pid=${pid}) ${line}`, stderr);
    }
  }

  /** What was counted is told. Idempotent. */
  close(): void {
    this.#timer?.cancel();
    this.#tell();
  }

  #isRepeated(line: string, stderr: boolean, pid: number): boolean {
    const key = `${stderr ? "e" : "o"}${line}`;
    const known = this.#seen.get(key);
    if (known === undefined) {
      if (this.#seen.size < LINES_MAX) this.#seen.set(key, { line, stderr, count: 0, pids: new Set() });
      this.#timer ??= this.#parts.clock.after(FOLD_MS, () => this.#tell());
      return false;
    }
    known.count += 1;
    known.pids.add(pid);
    return true;
  }

  #tell(): void {
    this.#timer = undefined;
    for (const { line, stderr, count, pids } of this.#seen.values()) {
      if (count === 0) continue;
      const [pid] = pids;
      const whose = pids.size === 1 ? `pid=${pid}` : `${pids.size} processes`;
      this.#parts.write(`(${whose}) ${line} [repeated ${count}×]`, stderr);
    }
    this.#seen.clear();
  }
}
