// Who has been silent for too long, by the word of a watcher that may have stood still itself.
//
// Pure. The watcher looks from time to time. A subject that was not heard of since the look before is silent for the time between
// the two, of which at most two looks' worth counts: a watcher that was stopped, or on a machine that slept, has heard nobody
// either, and what was said to it meanwhile is read after it wakes.

export interface SilenceOptions {
  readonly limitMs: number;
  /** The watcher means to look this often. */
  readonly lookEveryMs: number;
}

export class Silence {
  readonly #limitMs: number;
  readonly #countedMax: number;
  readonly #silentMs = new Map<string, number>();
  readonly #heard = new Set<string>();
  #lastLook: number | undefined;

  constructor({ limitMs, lookEveryMs }: SilenceOptions) {
    this.#limitMs = limitMs;
    this.#countedMax = 2 * lookEveryMs;
  }

  /** It said something since the last look. Who is heard for the first time is watched from now on. */
  heard(subject: string): void {
    this.#heard.add(subject);
    if (!this.#silentMs.has(subject)) this.#silentMs.set(subject, 0);
  }

  forget(subject: string): void {
    this.#silentMs.delete(subject);
    this.#heard.delete(subject);
  }

  /** Those who have reached the limit, and how long they have been silent. They are told again at the next look. */
  look(now: number): { readonly subject: string; readonly silentMs: number }[] {
    const counted = Math.max(0, Math.min(now - (this.#lastLook ?? now), this.#countedMax));
    this.#lastLook = now;
    const silent: { subject: string; silentMs: number }[] = [];
    for (const [subject, before] of this.#silentMs) {
      const silentMs = this.#heard.has(subject) ? 0 : before + counted;
      this.#silentMs.set(subject, silentMs);
      if (silentMs >= this.#limitMs) silent.push({ subject, silentMs });
    }
    this.#heard.clear();
    return silent;
  }
}
