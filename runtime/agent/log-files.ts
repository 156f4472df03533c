// What the workers of this node print, in files of the session: `logs/worker-<process>.log`, and `.old` for what went before.
//
// Bounded three times: a file by its two parts, what waits to be written by its bytes, files of processes that ended by their
// sum. Nothing here may fail the node: a disk that is full costs lines, and that is said in the file.

import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../seams.ts";

export interface LogFilesOptions {
  readonly folder: string;
  readonly clock: Clock;
  /** Of one part of a file; there are at most two. */
  readonly partBytes?: number;
  /** Of the logs of processes that ended. */
  readonly endedBytes?: number;
}

const PART_BYTES = 8 * 1024 * 1024;
const ENDED_BYTES = 128 * 1024 * 1024;
const WRITE_EVERY_MS = 100;
/** Written at once beyond this. */
const WAITING_BYTES = 256 * 1024;

interface Log {
  readonly path: string;
  waiting: string[];
  waitingBytes: number;
  /** Of the part that is written to. */
  bytes: number;
  oldBytes: number;
  /** Lines that could not be written. */
  lost: number;
}

export class LogFiles {
  readonly #options: LogFilesOptions;
  readonly #logs = new Map<string, Log>();
  /** Of processes that ended, oldest first. */
  readonly #ended: Log[] = [];
  #endedBytes = 0;
  #timer: Timer | undefined;

  constructor(options: LogFilesOptions) {
    this.#options = options;
  }

  write(process: string, lines: readonly string[]): void {
    const log = this.#logOf(process);
    for (const line of lines) {
      log.waiting.push(line);
      log.waitingBytes += line.length + 1;
    }
    if (log.waitingBytes >= WAITING_BYTES) return this.#flush(log);
    this.#timer ??= this.#options.clock.after(WRITE_EVERY_MS, () => this.#flushAll());
  }

  /** It prints nothing any more. */
  ended(process: string): void {
    const log = this.#logs.get(process);
    if (log === undefined) return;
    this.#flush(log);
    this.#logs.delete(process);
    this.#ended.push(log);
    this.#endedBytes += log.bytes + log.oldBytes;
    const { endedBytes = ENDED_BYTES } = this.#options;
    while (this.#endedBytes > endedBytes && this.#ended.length > 1) this.#remove(this.#ended.shift() as Log);
  }

  close(): void {
    this.#timer?.cancel();
    this.#flushAll();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #logOf(process: string): Log {
    let log = this.#logs.get(process);
    if (log === undefined) {
      if (this.#logs.size === 0 && this.#ended.length === 0) makeFolder(this.#options.folder);
      const path = join(this.#options.folder, `worker-${process}.log`);
      log = { path, waiting: [], waitingBytes: 0, bytes: 0, oldBytes: 0, lost: 0 };
      this.#logs.set(process, log);
    }
    return log;
  }

  #flushAll(): void {
    this.#timer = undefined;
    for (const log of this.#logs.values()) this.#flush(log);
  }

  #flush(log: Log): void {
    if (log.waiting.length === 0) return;
    const { partBytes = PART_BYTES } = this.#options;
    const lost = log.lost === 0 ? "" : `(${log.lost} lines could not be written)\n`;
    const text = Buffer.from(`${lost}${log.waiting.join("\n")}\n`);
    const count = log.waiting.length;
    log.waiting = [];
    log.waitingBytes = 0;
    try {
      if (log.bytes > 0 && log.bytes + text.length > partBytes) this.#turnOver(log);
      const fd = openSync(log.path, "a", 0o600);
      try {
        log.bytes += writeSync(fd, text.subarray(0, partBytes));
      } finally {
        closeSync(fd);
      }
      log.lost = 0;
    } catch {
      // The folder is gone or the disk is full: said with the next lines that can be written.
      log.lost += count;
    }
  }

  #turnOver(log: Log): void {
    renameSync(log.path, `${log.path}.old`);
    log.oldBytes = log.bytes;
    log.bytes = 0;
  }

  #remove({ path, bytes, oldBytes }: Log): void {
    this.#endedBytes -= bytes + oldBytes;
    for (const part of [path, `${path}.old`]) rmSync(part, { force: true });
  }
}

function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch {
    // It is there, or the session's folder is not: then no line can be written, and the node goes on.
  }
}

/** Looked at so often: a log that this process inherited and does not open itself. */
const OWN_EVERY_MS = 5000;
const OWN_BYTES = 16 * 1024 * 1024;

/** Keeps the file that a descriptor appends to, this process's own log, from growing without end: it begins anew. */
export function boundOwnLog(fd: number, clock: Clock, maxBytes = OWN_BYTES): void {
  const look = (): void => void clock.after(OWN_EVERY_MS, () => {
    const { size } = fstatSync(fd);
    if (size > maxBytes) {
      ftruncateSync(fd, 0);
      writeSync(fd, `(${size} bytes of this log were dropped: a log has at most ${maxBytes})\n`);
    }
    look();
  });
  if (fstatSync(fd).isFile()) look();
}
