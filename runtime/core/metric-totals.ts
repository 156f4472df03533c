// What all processes of a node counted and measured, and its text for Prometheus.
//
// Counters and histograms are sums over processes, also those that ended. A gauge is of one process: it goes with it.

import { type MetricChange, type MetricDefinition, type MetricSeries, sameShape } from "./metric-deltas.ts";

/** On one node. */
const SERIES_MAX = 20_000;

interface Total {
  readonly definition: MetricDefinition;
  /** By process and tags; the process is "" where it does not matter. */
  readonly series: Map<string, MetricSeries & { readonly process: string }>;
}

export type Labels = Readonly<Record<string, string>>;

export class MetricTotals {
  readonly #metrics = new Map<string, Total>();
  #size = 0;
  /** Series that found no room, here or in their process. */
  #dropped = 0;

  get dropped(): number {
    return this.#dropped;
  }

  merge(process: string, changes: readonly MetricChange[], dropped: number): void {
    this.#dropped += dropped;
    for (const { series, ...definition } of changes) {
      const total = this.#totalOf(definition);
      if (total === undefined) this.#dropped += series.length;
      else for (const one of series) this.#add(total, definition.kind === "gauge" ? process : "", one);
    }
  }

  /** The process has ended. */
  forget(process: string): void {
    for (const { definition, series } of this.#metrics.values()) {
      if (definition.kind !== "gauge") continue;
      for (const [key, one] of series) if (one.process === process && series.delete(key)) this.#size -= 1;
    }
  }

  /** `labels` are those of every line. */
  text(labels: Labels): string {
    return [...this.#metrics.values()].map(({ definition, series }) => {
      const lines = [...series.values()].flatMap((one) => {
        const tags = Object.fromEntries(definition.tags.map((tag, i) => [tag, one.tags[i]]));
        const own: Labels = one.process === "" ? labels : { ...labels, process: one.process };
        return linesOf(definition, one, { ...tags, ...own });
      });
      return head(definition.name, definition.kind, definition.help) + lines.join("");
    }).join("");
  }

  /** Undefined for one that another process defined in another way. */
  #totalOf(definition: MetricDefinition): Total | undefined {
    const known = this.#metrics.get(definition.name);
    if (known !== undefined) return sameShape(known.definition, definition) ? known : undefined;
    const total: Total = { definition, series: new Map() };
    this.#metrics.set(definition.name, total);
    return total;
  }

  #add({ definition, series }: Total, process: string, change: MetricSeries): void {
    const key = [process, ...change.tags].join("\0");
    const known = series.get(key);
    if (known === undefined) {
      if (this.#size === SERIES_MAX) {
        this.#dropped += 1;
        return;
      }
      this.#size += 1;
      series.set(key, { ...change, process });
    } else if (definition.kind === "gauge") {
      known.value = change.value;
    } else {
      known.value += change.value;
      change.counts?.forEach((count, bucket) => ((known.counts as number[])[bucket] += count));
    }
  }
}

/** A metric of one line for each of `rows`. */
export function metricText(
  name: string, kind: "counter" | "gauge", help: string, rows: readonly (readonly [labels: Labels, value: number])[],
): string {
  return head(name, kind, help) + rows.map(([labels, value]) => line(name, labels, value)).join("");
}

function linesOf({ name, buckets }: MetricDefinition, { value, counts }: MetricSeries, labels: Labels): string[] {
  if (counts === undefined || buckets === undefined) return [line(name, labels, value)];
  let count = 0;
  const lines = [...buckets, Number.POSITIVE_INFINITY].map((bound, i) => {
    count += counts[i];
    return line(`${name}_bucket`, { ...labels, le: numberText(bound) }, count);
  });
  return [...lines, line(`${name}_sum`, labels, value), line(`${name}_count`, labels, count)];
}

function head(name: string, kind: string, help: string): string {
  const text = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `${text === "" ? "" : `# HELP ${name} ${text}\n`}# TYPE ${name} ${kind}\n`;
}

function line(name: string, labels: Labels, value: number): string {
  const given = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
  return `${name}${given.length === 0 ? "" : `{${given.join(",")}}`} ${numberText(value)}\n`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function numberText(value: number): string {
  return value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
