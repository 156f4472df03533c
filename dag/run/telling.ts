// What an attempt tells: all of it is said with its end, and what there is so far in notes while it runs, a few a second. A note
// says which of it that is, so what was heard of one is not told again, and what was not heard comes with the end.

import { deserialize, serialize } from "node:v8";
import type { Told } from "./context.ts";

export interface Note {
  /** Of the attempt that tells; with those that the cluster repeated. */
  readonly attempt: number;
  /** How much it told before. */
  readonly from: number;
  readonly told: readonly Told[];
}

/** Things that one attempt tells. */
const TOLD_MAX = 100_000;
/** Between two notes. */
const NOTE_MS = 250;
/** Characters of a note, beyond its first line. */
const NOTE_CHARS = 32 * 1024;

export class Telling {
  readonly told: Told[] = [];
  readonly #attempt: number;
  readonly #send: ((note: Note) => void) | undefined;
  #noted = 0;
  #notedAt = performance.now();
  #timer: NodeJS.Timeout | undefined;

  constructor(attempt: number, send: ((note: Note) => void) | undefined) {
    this.#attempt = attempt;
    this.#send = send;
  }

  add(one: Told): void {
    const { length } = this.told;
    if (length > TOLD_MAX) return;
    this.told.push(length < TOLD_MAX ? one : { type: "log", name: "warn", value: `what is told after ${TOLD_MAX} is left out` });
    if (this.#send === undefined) return;
    // Code that never gives way has no timers.
    if (performance.now() - this.#notedAt >= NOTE_MS) this.#note();
    else this.#noteSoon();
  }

  /** The rest is said with the end. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #noteSoon(): void {
    this.#timer ??= setTimeout(() => this.#note(), Math.max(0, this.#notedAt + NOTE_MS - performance.now())).unref();
  }

  #note(): void {
    this.end();
    this.#notedAt = performance.now();
    const from = this.#noted;
    for (let chars = 0; chars < NOTE_CHARS && this.#noted < this.told.length; this.#noted += 1) {
      const { name, value } = this.told[this.#noted];
      chars += name.length + String(value).length;
    }
    this.#send?.({ attempt: this.#attempt, from, told: this.told.slice(from, this.#noted) });
    if (this.#noted < this.told.length) this.#noteSoon();
  }
}

/** Of one attempt, what was heard before its end. */
export class HeardNotes {
  #attempt = -1;
  #count = 0;

  /** What is new in a note. When one before it was lost, that is nothing: all of it comes with the end. */
  fresh({ attempt, from, told }: Note): readonly Told[] {
    // After a crash another process tells from the beginning.
    if (attempt > this.#attempt) [this.#attempt, this.#count] = [attempt, 0];
    if (attempt < this.#attempt || from !== this.#count) return [];
    this.#count += told.length;
    return told;
  }

  /** What is new in all that the attempt told. */
  rest(attempt: number, told: readonly Told[]): readonly Told[] {
    return attempt === this.#attempt ? told.slice(this.#count) : told;
  }
}

export const bytesOfNote = (note: Note): Uint8Array => serialize(note);
export const noteOfBytes = (bytes: Uint8Array): Note => deserialize(bytes) as Note;
