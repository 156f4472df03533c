// Metrics of the user: `new Counter("requests_total", { tags: ["route"] })`, in any process of a cluster, told by each node in
// Prometheus text. An instance is only the name of a metric: captured by a task it is the same metric there.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { metricDeltas } from "../runtime/owner/index.ts";
import { checkOptions, list } from "../runtime/option-checks.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";

export interface MetricOptions<Tag extends string> {
  /** Names of tags; every change gives a value to each. Their values are kinds of things: at most 1000 combinations a process. */
  readonly tags?: readonly Tag[] | undefined;
  readonly description?: string | undefined;
}

export interface HistogramOptions<Tag extends string> extends MetricOptions<Tag> {
  /** Upper bounds, ascending. Default: from 5 ms to 10 s, for seconds. */
  readonly buckets?: readonly number[] | undefined;
}

/** A value for each tag; nothing for a metric without tags. */
export type TagValues<Tag extends string> = [Tag] extends [never]
  ? [values?: Readonly<Record<string, never>>]
  : [values: Readonly<Record<Tag, string | number | boolean>>];

const METRIC_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const TAG_NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;
/** Written beside the user's tags. */
const OWN_TAGS: ReadonlySet<string> = new Set(["node", "process", "le"]);
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

type Kind = "counter" | "gauge" | "histogram";
type MetricClass = new (name: string, options: HistogramOptions<string>) => object;

class Metric<Tag extends string> {
  readonly name: string;
  readonly tags: readonly Tag[];
  readonly #kind: Kind;
  readonly #options: HistogramOptions<Tag>;

  constructor(kind: Kind, name: string, options: HistogramOptions<Tag>) {
    const checks = { tags: list, description: (value: unknown) => (typeof value === "string" ? undefined : "a string") };
    const { tags = [], description = "", buckets } = checkOptions(
      `metric ${name}`, options, kind === "histogram" ? { ...checks, buckets: list } : checks,
    );
    checkNames(name, tags);
    checkBuckets(name, buckets);
    this.name = name;
    this.tags = [...tags];
    this.#kind = kind;
    this.#options = options;
    const definition = { name, kind, help: description, tags: this.tags, ...(buckets === undefined ? {} : { buckets }) };
    const other = metricDeltas().define(definition);
    if (other === undefined) return;
    const shape = `a ${other.kind} with the tags ${other.tags.join(", ") || "(none)"}`;
    throw new InvalidArgumentError(`metric ${name} is there already as ${shape}: give this one another name`, { option: "name" });
  }

  /** The copy is this metric in another process. */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [restoreMetric, [this.#kind, this.name, { ...this.#options, tags: this.tags }]];
  }

  protected checked(method: string, amount: number): number {
    if (typeof amount === "number" && Number.isFinite(amount)) return amount;
    throw new InvalidArgumentError(`${this.name}.${method}: the amount must be a finite number, not ${String(amount)}`);
  }

  protected valuesOf(given: TagValues<Tag>): string[] {
    const values = (given[0] ?? {}) as Readonly<Record<string, unknown>>;
    const unknown = Object.keys(values).find((tag) => !this.tags.includes(tag as Tag));
    const missing = this.tags.find((tag) => values[tag] === undefined);
    if (unknown === undefined && missing === undefined) return this.tags.map((tag) => String(values[tag]));
    const what = missing === undefined ? `has no tag ${unknown}` : `needs a value for its tag ${missing}`;
    throw new InvalidArgumentError(`metric ${this.name} ${what}; its tags are ${this.tags.join(", ") || "none"}`);
  }
}

/** Counts up: requests, rows, failures. */
export class Counter<const Tag extends string = never> extends Metric<Tag> {
  constructor(name: string, options: MetricOptions<Tag> = {}) {
    super("counter", name, options);
  }

  /** By 1, or by `amount` from 0. */
  inc(amount = 1, ...values: TagValues<Tag>): void {
    if (this.checked("inc", amount) < 0) {
      throw new InvalidArgumentError(`${this.name}.inc: a counter only counts up, not by ${amount}`);
    }
    metricDeltas().add(this.name, this.valuesOf(values), amount);
  }
}

/** Goes up and down: a length, a temperature. One for each process, named by the tag `process`, and gone with it. */
export class Gauge<const Tag extends string = never> extends Metric<Tag> {
  constructor(name: string, options: MetricOptions<Tag> = {}) {
    super("gauge", name, options);
  }

  set(value: number, ...values: TagValues<Tag>): void {
    metricDeltas().set(this.name, this.valuesOf(values), this.checked("set", value));
  }

  inc(amount = 1, ...values: TagValues<Tag>): void {
    metricDeltas().add(this.name, this.valuesOf(values), this.checked("inc", amount));
  }

  dec(amount = 1, ...values: TagValues<Tag>): void {
    metricDeltas().add(this.name, this.valuesOf(values), -this.checked("dec", amount));
  }
}

/** How often values fell into which range: latencies, sizes. */
export class Histogram<const Tag extends string = never> extends Metric<Tag> {
  constructor(name: string, options: HistogramOptions<Tag> = {}) {
    super("histogram", name, { ...options, buckets: options.buckets ?? SECONDS });
  }

  observe(value: number, ...values: TagValues<Tag>): void {
    metricDeltas().observe(this.name, this.valuesOf(values), this.checked("observe", value));
  }
}

/** @internal */
export function restoreMetric(kind: Kind, name: string, options: HistogramOptions<string>): object {
  const classes: Readonly<Record<Kind, MetricClass>> = { counter: Counter, gauge: Gauge, histogram: Histogram };
  return new classes[kind](name, options);
}

function checkNames(name: string, tags: readonly string[]): void {
  if (typeof name !== "string" || !METRIC_NAME.test(name) || name.startsWith("troupe_")) {
    const rule = "letters, digits, _ and :, no digit first, and not begin with troupe_";
    throw new InvalidArgumentError(`the name of a metric must have ${rule}, not ${JSON.stringify(name)}`, { option: "name" });
  }
  for (const [i, tag] of tags.entries()) {
    const isName = typeof tag === "string" && TAG_NAME.test(tag) && !tag.startsWith("__");
    if (isName && !OWN_TAGS.has(tag) && tags.indexOf(tag) === i) continue;
    const rule = `letters, digits and _, be given once, and be none of ${[...OWN_TAGS].join(", ")}`;
    throw new InvalidArgumentError(`metric ${name}: a tag must have ${rule}, not ${JSON.stringify(tag)}`, { option: "tags" });
  }
}

function checkBuckets(name: string, buckets: readonly number[] | undefined): void {
  if (buckets === undefined) return;
  const isAbove = (bound: number, i: number): boolean => Number.isFinite(bound) && (i === 0 || bound > buckets[i - 1]);
  if (buckets.length > 0 && buckets.every(isAbove)) return;
  throw new InvalidArgumentError(`metric ${name}: buckets must be finite numbers, ascending`, { option: "buckets" });
}
