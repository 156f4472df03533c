// Ways of using Troupe that work and cost more than they have to, or that can never end: each is told once a place.

import type { Clock, Timer } from "../../seams.ts";
import { CallSite, NOWHERE, warn, type WarningCode } from "../../warnings.ts";
import type { Explanation, Reason } from "./explanation.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";

/** Tasks that were waited for alone, one after the other. */
const LONE_GETS = 100;
/** The same value in so many calls, and so many bytes that a ref would have saved. */
const REPEATED_CALLS = 5;
const REPEATED_BYTES = 8 << 20;
const REPEATED_FROM_BYTES = 64 << 10;
/** Calls of a function whose code takes less than its way to a worker costs. */
const TINY_CALLS = 5000;
const TINY_MICROS = 50;
/** The call of a function whose place is remembered. */
const REMEMBERED_CALL = 1000;
/** A wait without a timeout is looked into after so long. */
const LONG_WAIT_MS = 30_000;
/** Places of waits are looked for so often at most: it takes microseconds. */
const SITE_EVERY_MS = 5;
/** Bytes of a buffer that tell whether it is the same still. */
const SAMPLES = 256;
const TOLD_MAX = 1000;
/** Waits that are looked into at once. */
const LOOKS = 3;

/** What a function's calls have in common here. */
export interface TinyCalls {
  readonly name: string;
  readonly expectedMicros: number | undefined;
  calls: number;
  ended: number;
  /** Where it was called; as text, since a CallSite that nobody read keeps its callers' frames, and all that they refer to. */
  site: string | undefined;
}

/** A get or wait that has not ended. */
export interface LongWait {
  readonly since: number;
  readonly isBounded: boolean;
  readonly site: CallSite | undefined;
  readonly entries: readonly ObjectEntry[];
}

export interface TrapsParts {
  readonly clock: Clock;
  /** Tasks, and calls of actors, that have not ended. */
  readonly unfinished: () => { readonly tasks: number; readonly calls: number };
  readonly waits: () => Iterable<LongWait>;
  readonly explain: (id: string) => Promise<Explanation>;
}

export class Traps {
  readonly #parts: TrapsParts;
  readonly #told = new Set<string>();
  readonly #sent = new WeakMap<object, { calls: number; sample: string }>();
  readonly #looked = new WeakSet<LongWait>();
  #loneGets = 0;
  #loneSite = "";
  #siteAt = 0;
  #watch: Timer | undefined;

  constructor(parts: TrapsParts) {
    this.#parts = parts;
  }

  /** In a get that is about to wait for one object. */
  getWaits(): void {
    const { tasks, calls } = this.#parts.unfinished();
    if (tasks !== 1 || calls !== 0) {
      this.#loneGets = 0;
      return;
    }
    this.#loneGets += 1;
    if (this.#loneGets === LONE_GETS - 1) this.#loneSite = String(new CallSite());
    if (this.#loneGets < LONE_GETS) return;
    this.#loneGets = 0;
    const site = String(new CallSite());
    if (site !== this.#loneSite || site === NOWHERE) return;
    const text = `${site} waits for one task before it submits the next, so they run one after the other: if they do not need ` +
      "each other's results, submit all of them first, or use mapAll().";
    this.#tell("TROUPE_GET_IN_LOOP", site, text);
  }

  /** In a call that sends a value as an object of its own. */
  sends(value: unknown, bytes: number, index: number): void {
    if (bytes < REPEATED_FROM_BYTES || typeof value !== "object" || value === null) return;
    const sample = sampleOf(value);
    const sent = this.#sent.get(value);
    if (sent === undefined || sent.sample !== sample) return void this.#sent.set(value, { calls: 1, sample });
    sent.calls += 1;
    if (sent.calls < REPEATED_CALLS || (sent.calls - 1) * bytes < REPEATED_BYTES) return;
    sent.calls = Number.NEGATIVE_INFINITY;
    const site = String(new CallSite());
    const size = `${(bytes / (1 << 20)).toFixed(1)} MiB`;
    this.#tell("TROUPE_REPEATED_ARGUMENT", site, `${site} sends the same value (args[${index}], ${size}) again with each call: ` +
      "put() it once, and pass the ref.");
  }

  /** In a call of a function. */
  submits(template: TinyCalls): void {
    template.calls += 1;
    if (template.calls === REMEMBERED_CALL) template.site = String(new CallSite());
  }

  ends(template: TinyCalls): void {
    template.ended += 1;
    const { ended, expectedMicros = TINY_MICROS, name, site } = template;
    if (ended !== TINY_CALLS || expectedMicros >= TINY_MICROS) return;
    const place = site ?? "";
    const text = `the code of "${name}" takes ${Math.round(expectedMicros)} µs, less than sending it does ` +
      `(called at ${place}): give each call many values.`;
    this.#tell("TROUPE_TINY_TASKS", place, text);
  }

  /** The place of a wait that begins, unless another was looked for just now. */
  siteOfWait(): CallSite | undefined {
    const now = this.#parts.clock.now();
    if (now - this.#siteAt < SITE_EVERY_MS) return undefined;
    this.#siteAt = now;
    return new CallSite();
  }

  /** A wait has begun. */
  watch(): void {
    if (this.#watch !== undefined) return;
    this.#watch = this.#parts.clock.after(longWaitMs(), () => void this.#look());
  }

  close(): void {
    this.#watch?.cancel();
  }

  /** Each wait that takes long is looked into once, when it does. */
  async #look(): Promise<void> {
    const { clock, waits, explain } = this.#parts;
    const long = clock.now() - longWaitMs() / 2;
    const isDue = (wait: LongWait) => !wait.isBounded && wait.since <= long && !this.#looked.has(wait);
    const found = [...waits()].filter(isDue).slice(0, LOOKS);
    for (const wait of found) {
      this.#looked.add(wait);
      const entry = wait.entries.find(({ state }) => state === "pending");
      if (entry === undefined) continue;
      try {
        this.#judge(wait, (await explain(entry.id)).reasons);
      } catch {
        // Nobody can be asked: the session ends, and the wait with it, or goes on without advice.
      }
    }
    this.#watch = undefined;
    if ([...waits()].length > 0) this.watch();
  }

  #judge({ site }: LongWait, reasons: readonly Reason[]): void {
    const endless = reasons.find(({ kind, isKept }) => kind === "infeasible" || isKept === true);
    if (endless === undefined) return;
    const place = String(site ?? "a wait");
    this.#tell("TROUPE_ENDLESS_WAIT", place, `${place} waits for what may never come: ${endless.text.replace(/\.$/, "")}. ` +
      "Give the wait a timeoutMs, or add what is missing.");
  }

  #tell(code: WarningCode, place: string, text: string): void {
    const key = `${code} ${place}`;
    if (this.#told.has(key) || this.#told.size >= TOLD_MAX) return;
    this.#told.add(key);
    warn(code, text);
  }
}

/** TROUPE_LONG_WAIT_MS: when a wait without a timeout is looked into. */
function longWaitMs(): number {
  const set = Number(process.env.TROUPE_LONG_WAIT_MS);
  return Number.isFinite(set) && set > 0 ? set : LONG_WAIT_MS;
}

/** Bytes from all over a buffer: one that is filled anew for each call is another value. */
function sampleOf(value: object): string {
  if (!ArrayBuffer.isView(value)) return "";
  const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  const step = Math.max(1, Math.floor(bytes.length / SAMPLES));
  const sampled: number[] = [];
  for (let at = 0; at < bytes.length; at += step) sampled.push(bytes[at]);
  return String.fromCharCode(...sampled);
}
