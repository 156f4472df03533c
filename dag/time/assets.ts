// Assets: what tasks of one graph make and others wait for. An event of an asset is that a task which makes it succeeded, or
// a word from outside. Conditions over assets decide when a graph that waits for them runs.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { isWithoutCluster, keys, withoutCluster } from "../run/keys.ts";
import { lastKey, logEvent } from "./asset-log.ts";

export interface AssetEvent {
  readonly asset: string;
  readonly at: Date;
  /** What the producer said of it. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** Where it came from; none for a word from outside. */
  readonly source?: { readonly dagId: string; readonly runId: string; readonly taskId: string } | undefined;
}

export class Asset {
  readonly kind = "asset";
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }

  /** A word from outside: it has changed. Graphs that wait for it hear of it where `serveDags` runs. */
  emit({ extra = {} }: { readonly extra?: Readonly<Record<string, unknown>> } = {}): Promise<void> {
    return assetMade({ asset: this.name, at: new Date(), extra }, isWithoutCluster() || hereListener !== undefined);
  }
}

type Listener = (event: AssetEvent) => Promise<void>;
let clusterListener: () => Promise<void> = async () => {};
let hereListener: Listener | undefined;

/** Set by what knows where graphs are served on the cluster. */
export function onAssetEvents(listener: () => Promise<void>): void {
  clusterListener = listener;
}

/** Of graphs that are served in this process, without a cluster. */
export function onAssetEventsHere(listener: Listener | undefined): void {
  hereListener = listener;
}

/**
 * It is kept, also as the newest of its asset, for whoever serves graphs; `isLocal` for what no cluster hears of. With `emitted`
 * it comes once.
 */
export async function assetMade(event: AssetEvent, isLocal: boolean, emitted?: string): Promise<void> {
  if (!isLocal) {
    await logEvent(event, emitted);
    // Who serves graphs looks from time to time: this is only sooner.
    return clusterListener().catch(() => {});
  }
  await withoutCluster(() => keys().set(lastKey(event.asset), event));
  await hereListener?.(event);
}

/** Its newest event. */
export function lastEventOf(name: string): Promise<AssetEvent | undefined> {
  return keys().get<AssetEvent>(lastKey(name));
}

export type AssetExpression = Asset | { readonly kind: "all" | "any"; readonly of: readonly AssetExpression[] };

export function asset(name: string): Asset {
  if (typeof name !== "string" || name === "") throw new InvalidArgumentError("asset: the name must be a non-empty string");
  return new Asset(name);
}

/** When each of them has had an event. */
export function all(...of: readonly AssetExpression[]): AssetExpression {
  return condition("all", of);
}

/** When one of them has had an event. */
export function any(...of: readonly AssetExpression[]): AssetExpression {
  return condition("any", of);
}

function condition(kind: "all" | "any", of: readonly AssetExpression[]): AssetExpression {
  if (of.length === 0 || !of.every(isExpression))
    throw new InvalidArgumentError(`${kind}: expected assets, or conditions over them`);
  return { kind, of };
}

export function isExpression(value: unknown): value is AssetExpression {
  const { kind } = (value ?? {}) as { kind?: unknown };
  return kind === "asset" || kind === "all" || kind === "any";
}

export function namesIn(expression: AssetExpression): string[] {
  return expression.kind === "asset" ? [expression.name] : [...new Set(expression.of.flatMap(namesIn))];
}

export function holds(expression: AssetExpression, seen: (name: string) => boolean): boolean {
  if (expression.kind === "asset") return seen(expression.name);
  return expression.kind === "all"
    ? expression.of.every((one) => holds(one, seen))
    : expression.of.some((one) => holds(one, seen));
}

/**
 * What a graph has heard since its last run. Several events of an asset before that are one reason, and all of them are
 * given.
 */
export class AssetQueue {
  readonly #expression: AssetExpression;
  readonly #names: ReadonlySet<string>;
  #events: AssetEvent[] = [];

  constructor(expression: AssetExpression, events: readonly AssetEvent[] = []) {
    this.#expression = expression;
    this.#events = [...events];
    this.#names = new Set(namesIn(expression));
  }

  /** The events a run is made for, once the condition holds. */
  add(event: AssetEvent): readonly AssetEvent[] | undefined {
    if (!this.#names.has(event.asset)) return undefined;
    this.#events.push(event);
    const seen = new Set(this.#events.map((one) => one.asset));
    if (!holds(this.#expression, (name) => seen.has(name))) return undefined;
    const events = this.#events;
    this.#events = [];
    return events;
  }

  waiting(): readonly AssetEvent[] {
    return this.#events;
  }
}
