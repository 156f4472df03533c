// What a process counted and measured since it last told its node. Only changes travel: a process that ends takes nothing back.

export interface MetricDefinition {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  /** Names of its tags, in the order of their values. */
  readonly tags: readonly string[];
  /** Upper bounds, ascending, without infinity: of a histogram. */
  readonly buckets?: readonly number[];
}

/** One combination of tag values. A counter's and a gauge's `value`; of a histogram the sum, and how many fell in each bucket. */
export interface MetricSeries {
  readonly tags: readonly string[];
  value: number;
  readonly counts?: number[];
}

export interface MetricChange extends MetricDefinition {
  readonly series: readonly MetricSeries[];
}

/** Of one metric in one process: tags are for kinds of things, not for things. */
export const SERIES_MAX = 1000;

interface Pending {
  readonly definition: MetricDefinition;
  readonly series: Map<string, MetricSeries>;
}

export class MetricDeltas {
  readonly #metrics = new Map<string, Pending>();
  /** Series beyond the limit that were not told. */
  #dropped = 0;
  #isChanged = false;
  #changed: (() => void) | undefined;

  /** `changed`: called at the first change after each `take`. */
  watch(changed: (() => void) | undefined): void {
    this.#changed = changed;
    if (this.#isChanged) changed?.();
  }

  /** What another definition of that name has that this one has not; undefined when they agree. */
  define(definition: MetricDefinition): MetricDefinition | undefined {
    const known = this.#metrics.get(definition.name);
    if (known === undefined) {
      this.#metrics.set(definition.name, { definition, series: new Map() });
      return undefined;
    }
    return sameShape(known.definition, definition) ? undefined : known.definition;
  }

  add(name: string, tags: readonly string[], amount: number): void {
    const series = this.#series(name, tags);
    if (series !== undefined) series.value += amount;
  }

  set(name: string, tags: readonly string[], value: number): void {
    const series = this.#series(name, tags);
    if (series !== undefined) series.value = value;
  }

  observe(name: string, tags: readonly string[], value: number): void {
    const series = this.#series(name, tags);
    const { buckets = [] } = this.#metrics.get(name)?.definition ?? {};
    if (series?.counts === undefined) return;
    series.value += value;
    let bucket = 0;
    while (bucket < buckets.length && value > buckets[bucket]) bucket += 1;
    series.counts[bucket] += 1;
  }

  /** Everything since the last time, and gauges as they are. */
  take(): { readonly changes: MetricChange[]; readonly dropped: number } {
    const changes: MetricChange[] = [];
    for (const { definition, series } of this.#metrics.values()) {
      if (series.size === 0) continue;
      changes.push({ ...definition, series: [...series.values()].map((one) => ({ ...one })) });
      // It is the state of something, which goes on.
      if (definition.kind !== "gauge") series.clear();
    }
    const dropped = this.#dropped;
    this.#dropped = 0;
    this.#isChanged = false;
    return { changes, dropped };
  }

  #series(name: string, tags: readonly string[]): MetricSeries | undefined {
    const pending = this.#metrics.get(name);
    if (pending === undefined) return undefined;
    const key = tags.join("\0");
    let series = pending.series.get(key);
    if (series === undefined) {
      if (pending.series.size === SERIES_MAX) {
        this.#dropped += 1;
        return undefined;
      }
      const { kind, buckets = [] } = pending.definition;
      series = { tags, value: 0, ...(kind === "histogram" ? { counts: new Array<number>(buckets.length + 1).fill(0) } : {}) };
      pending.series.set(key, series);
    }
    if (!this.#isChanged) {
      this.#isChanged = true;
      this.#changed?.();
    }
    return series;
  }
}

export function sameShape(one: MetricDefinition, other: MetricDefinition): boolean {
  return one.kind === other.kind && one.tags.join("\0") === other.tags.join("\0") &&
    (one.buckets ?? []).join() === (other.buckets ?? []).join();
}
