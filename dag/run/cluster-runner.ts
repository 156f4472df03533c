// Runs tasks on the cluster: results stay where they are made, and refs to them go from task to task.

import { hearNotes, startOf } from "../../sdk/contract.ts";
import {
  cancel, explain, findObjects, get, InfeasibleError, InvalidArgumentError, isClusterPrivate, ObjectLostError, type ObjectRef,
  placeOfRef, put, remote, type RemoteFunction, RuntimeEnvSetupError, TaskCancelledError, type TaskOptions,
} from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import { runtimeOptions } from "../graph/options.ts";
import type { ResultRecord } from "../journal/records.ts";
import { type Order, retriable } from "./attempt.ts";
import { evaluate, Held, replaceHeld } from "./inputs.ts";
import { readCheckpoint, type SafeResult } from "./checkpoint.ts";
import { keepingOf } from "./kept-attempt.ts";
import { scopeOf } from "./run-scope.ts";
import { noteOfBytes } from "./telling.ts";
import { type Attempt, type Ended, endedAttempt, lengthOfValue, type Runner, type Start } from "./runner.ts";
import { afterSizing, sizeOf } from "./sizing.ts";
import { type Answer, attemptThere, placeIn, type ToldThere } from "./worker-attempt.ts";

type Body = RemoteFunction<[order: Order, ...values: unknown[]], Promise<Answer>, 2>;

/** What is sent of a task: its own code, and by name what runs it. */
function bodyOf(draft: Draft): (order: Order, ...values: unknown[]) => Promise<Answer> {
  const { id, fn = () => undefined, kind, options: { retryOn, checkpoint, cacheKey } } = draft;
  const keeping = keepingOf(id, { checkpoint, cacheKey });
  return (order, ...values) => attemptThere({ fn, kind, retryOn, keeping }, order, values);
}

const readThere = remote(async (result: SafeResult) => [undefined, await readCheckpoint(result)] as const, { numReturns: 2 });
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

function failedBy({ options: { retryOn } }: Draft, error: unknown): Ended {
  const tookMs = UNSTARTED.some((type) => error instanceof type) ? undefined : 0;
  return { report: { outcome: "error", error, final: !retriable(error, retryOn), told: [] }, tookMs };
}

/** What becomes of attempts that no worker runs. */
const UNSTARTED = [InfeasibleError, InvalidArgumentError, ObjectLostError, RuntimeEnvSetupError, TaskCancelledError];

function startHere(told: ObjectRef): Start | undefined {
  const start = startOf(told);
  return start && { at: Date.now() - Math.round(start.forMs), nodeId: start.nodeId, workerPid: start.workerPid };
}

/** A value that is made of others, as one of its own. */
const heldThere = remote(async (input: unknown, ...values: unknown[]) => evaluate(input, placeIn(values)));

export class ClusterRunner implements Runner {
  readonly isLocal = false;
  readonly #bodies = new WeakMap<Draft, Body>();
  readonly #nodes = new Map<string, readonly [nodeId: string]>();
  readonly #judges = new WeakMap<object, RemoteFunction<[input: unknown, ...values: unknown[]], Promise<boolean>>>();

  start(draft: Draft, order: Order): Attempt {
    if (typeof draft.options.resources !== "function") return this.#submit(draft, order);
    const [args, refs] = sent(order.args);
    const size = sizeOf(draft, args as readonly unknown[], refs);
    return afterSizing(size, (options) => this.#submit(draft, order, options), (error) => failedBy(draft, error));
  }

  #submit(draft: Draft, order: Order, size?: TaskOptions): Attempt {
    try {
      const [args, refs] = sent(order.args);
      const body = size === undefined ? this.#body(draft) : (this.#body(draft).options(size) as Body);
      const [told, value] = body.remote({ ...order, args: args as readonly unknown[] }, ...refs);
      return {
        ended: this.#ended(draft, told as ObjectRef<ToldThere>, value),
        stop: () => void cancel(told).catch(() => {}),
        start: () => startHere(told),
        hear: (listener) => hearNotes(told, (bytes) => listener(noteOfBytes(bytes))),
        explain: () => explain(told),
      };
    } catch (error) {
      return endedAttempt({ outcome: "error", error, final: true, told: [] });
    }
  }

  async #ended(draft: Draft, told: ObjectRef<ToldThere>, value: ObjectRef<unknown>): Promise<Ended> {
    try {
      const { report, where, tookMs, made } = await get(told);
      const locations = this.#on(where.nodeId);
      const result = made && { id: value.id, ...made, locations, place: placeOfRef(value) };
      return { report, handle: value, result, tookMs, ...where, nodeId: locations[0] };
    } catch (error) {
      return failedBy(draft, error);
    } finally {
      told.release();
    }
  }

  /** The list of one node: the same for all results there, since a run may have a hundred thousand. */
  #on(nodeId: string): readonly [nodeId: string] {
    const known = this.#nodes.get(nodeId) ?? [nodeId];
    this.#nodes.set(nodeId, known);
    return known;
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
    return refs.length === 0 ? put(found) : heldThere.options({ numCpus: 0 }).remote(found, ...refs);
  }

  describe(handle: unknown): ResultRecord | undefined {
    if (handle === undefined) return undefined;
    const ref = handle as ObjectRef;
    return { id: ref.id, size: 0, hash: "", locations: [], place: placeOfRef(ref) };
  }

  async keep(runId: string, handles: readonly unknown[]): Promise<void> {
    // Nobody outlives the process that a cluster ends with.
    if (!isClusterPrivate()) await (await scopeOf(runId)).keep(handles as ObjectRef[]);
  }

  find(records: readonly ResultRecord[]): Promise<readonly unknown[]> {
    return findObjects(records.map(({ place }) => place!));
  }

  async load({ size, hash, checkpoint }: ResultRecord): Promise<unknown> {
    const [read, value] = readThere.remote({ size, hash, checkpoint: checkpoint! });
    await get(read as ObjectRef<undefined>);
    return value;
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
