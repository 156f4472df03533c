// Runs tasks on the cluster: results stay where they are made, and refs to them go from task to task.

import { cancel, get, getRuntimeContext, type ObjectRef, remote, type RemoteFunction } from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import { runtimeOptions } from "../graph/options.ts";
import { attempt, type Order, type Report, retriable } from "./attempt.ts";
import { evaluate, Held, replaceHeld } from "./inputs.ts";
import { type Attempt, type Ended, lengthOfValue, type Runner } from "./runner.ts";

type Where = { readonly nodeId: string; readonly workerPid: number };
type Told = readonly [told: { readonly report: Report; readonly where: Where }, value: unknown];
type Body = RemoteFunction<[order: Order, ...values: unknown[]], Promise<Told>, 2>;

/** Handles in what is sent are places in the list of values beside it. */
const placeIn = (values: readonly unknown[]) => (handle: unknown): unknown => values[handle as number];

/** What runs on the worker: the code of a task, closed over. */
function bodyOf({
  fn = () => undefined,
  kind,
  options: { retryOn },
}: Draft): (order: Order, ...values: unknown[]) => Promise<Told> {
  return async (order, ...values) => {
    const { signal, nodeId } = getRuntimeContext();
    const place = { signal, now: () => Date.now(), valueOf: placeIn(values) };
    const [report, value] = await attempt(fn, kind, retryOn, order, place);
    return [{ report, where: { nodeId, workerPid: process.pid } }, value];
  };
}

const lengthThere = remote(async (input: unknown, ...values: unknown[]) => lengthOfValue(await evaluate(input, placeIn(values))));

/** Results of the input as arguments of their own: the runtime replaces those by their values, wherever it runs. */
function sent(input: unknown): readonly [input: unknown, refs: readonly ObjectRef<unknown>[]] {
  const places = new Map<unknown, number>();
  const found = replaceHeld(input, ({ handle }) => {
    const place = places.get(handle) ?? places.size;
    places.set(handle, place);
    return new Held(place);
  });
  return [found, [...places.keys()] as ObjectRef<unknown>[]];
}

/** A value that is made of others, as one of its own. */
const heldThere = remote(async (input: unknown, ...values: unknown[]) => evaluate(input, placeIn(values)));

export class ClusterRunner implements Runner {
  readonly isLocal = false;
  readonly #bodies = new WeakMap<Draft, Body>();
  readonly #judges = new WeakMap<object, RemoteFunction<[input: unknown, ...values: unknown[]], Promise<boolean>>>();

  start(draft: Draft, order: Order): Attempt {
    try {
      const [args, refs] = sent(order.args);
      const [told, value] = this.#body(draft).remote({ ...order, args: args as readonly unknown[] }, ...refs);
      return { ended: this.#ended(draft, told as ObjectRef<Told[0]>, value), stop: () => void cancel(told).catch(() => {}) };
    } catch (error) {
      return { ended: Promise.resolve({ report: { outcome: "error", error, final: true, told: [] } }), stop: () => {} };
    }
  }

  async #ended(draft: Draft, told: ObjectRef<Told[0]>, value: ObjectRef<unknown>): Promise<Ended> {
    try {
      const { report, where } = await get(told);
      return { report, handle: value, ...where };
    } catch (error) {
      return { report: { outcome: "error", error, final: !retriable(error, draft.options.retryOn), told: [] } };
    } finally {
      told.release();
    }
  }

  async length(input: unknown): Promise<number> {
    const [found, refs] = sent(input);
    return get(lengthThere.options({ numCpus: 0 }).remote(found, ...refs));
  }

  async judge(until: (value: never) => unknown, input: unknown): Promise<boolean> {
    const asked = this.#judges.get(until) ?? remote(async (given: unknown, ...values: unknown[]) => (
      Boolean(await until((await evaluate(given, placeIn(values))) as never))
    ));
    this.#judges.set(until, asked);
    const [found, refs] = sent(input);
    return get(asked.remote(found, ...refs));
  }

  async fetch(input: unknown): Promise<unknown> {
    const [found, refs] = sent(input);
    return evaluate(found, placeIn(await get([...refs])));
  }

  async hold(input: unknown): Promise<unknown> {
    const [found, refs] = sent(input);
    return heldThere.options({ numCpus: 0 }).remote(found, ...refs);
  }

  release(handles: Iterable<unknown>): void {
    for (const handle of handles) (handle as ObjectRef<unknown>).release();
  }

  #body(draft: Draft): Body {
    let body = this.#bodies.get(draft);
    if (body === undefined) {
      const { timeoutMs } = draft.options;
      const limit = timeoutMs === undefined ? {} : { attemptTimeoutMs: timeoutMs };
      body = remote(bodyOf(draft), {
        ...runtimeOptions(draft.options),
        ...limit,
        name: draft.id,
        numReturns: 2,
      }) as unknown as Body;
      this.#bodies.set(draft, body);
    }
    return body;
  }
}
