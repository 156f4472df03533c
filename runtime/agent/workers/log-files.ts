// What the workers of this node print, in files of the session: `logs/worker-<process>.log`, and `.old` for what went before.
//
// Bounded three times: a file by its two parts, what waits to be written by its bytes, files of processes that ended by their
// sum. Nothing here may fail the node: a disk that is full costs lines, and that is said in the file.

import {
  closeSync, existsSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, renameSync, rmSync, statSync, writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../../seams.ts";

export interface LogFilesOptions {
  readonly folder: string;
  /** Where this process's own output goes, if that is a file. */
  readonly ownPath?: string;
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
/** Read at once. */
const READ_BYTES_MAX = 1024 * 1024;

/** A part of what a process ever printed. */
export interface LogRead {
  /** Of its first byte; later than asked for when that is no longer kept. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** Where the next byte will be. */
  readonly end: number;
}

/** For the state API. */
export interface LogFacts {
  readonly process: string;
  readonly bytes: number;
  readonly hasEnded: boolean;
}

interface Log {
  readonly process: string;
  readonly path: string;
  waiting: string[];
  waitingBytes: number;
  /** Of the part that is written to. */
  bytes: number;
  oldBytes: number;
  /** Printed before what is kept. */
  goneBytes: number;
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

  /** What a process printed, from `offset` of all it ever printed; undefined when nothing of it is kept. "" is this process. */
  read(process: string, offset: number, length: number): LogRead | undefined {
    if (process === "") return this.#readOwn(offset, length);
    const log = this.#logs.get(process) ?? this.#ended.find((one) => one.process === process);
    if (log === undefined) return undefined;
    this.#flush(log);
    const { path, goneBytes, oldBytes, bytes } = log;
    const turn = goneBytes + oldBytes;
    const from = Math.min(Math.max(offset, goneBytes), turn + bytes);
    const isOld = from < turn;
    const [start, end] = isOld ? [goneBytes, turn] : [turn, turn + bytes];
    const part = partOf(isOld ? `${path}.old` : path, from - start, Math.min(length, end - from));
    return { offset: from, bytes: part, end: turn + bytes };
  }

  list(): LogFacts[] {
    const facts = (hasEnded: boolean) => ({ process, bytes, oldBytes, goneBytes, waitingBytes }: Log) => (
      { process, bytes: goneBytes + oldBytes + bytes + waitingBytes, hasEnded }
    );
    return [...[...this.#logs.values()].map(facts(false)), ...this.#ended.map(facts(true))];
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
      log = { process, path, waiting: [], waitingBytes: 0, bytes: 0, oldBytes: 0, goneBytes: 0, lost: 0 };
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
    log.goneBytes += log.oldBytes;
    log.oldBytes = log.bytes;
    log.bytes = 0;
  }

  /** A file that began anew is read from its beginning. */
  #readOwn(offset: number, length: number): LogRead | undefined {
    const { ownPath } = this.#options;
    if (ownPath === undefined || !existsSync(ownPath)) return undefined;
    const { size } = statSync(ownPath);
    const from = offset > size ? 0 : offset;
    return { offset: from, bytes: partOf(ownPath, from, Math.min(length, size - from)), end: size };
  }

  #remove({ path, bytes, oldBytes }: Log): void {
    this.#endedBytes -= bytes + oldBytes;
    for (const part of [path, `${path}.old`]) rmSync(part, { force: true });
  }
}

function partOf(path: string, from: number, length: number): Uint8Array {
  const bytes = Buffer.alloc(Math.max(0, Math.min(length, READ_BYTES_MAX)));
  if (bytes.length === 0) return bytes;
  const fd = openSync(path, "r");
  try {
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, from));
  } finally {
    closeSync(fd);
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
