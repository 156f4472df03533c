// The rows of `ray microbenchmark` that apply, with its names and sizes: python/ray/_private/ray_perf.py, Ray 2.58.

import { availableParallelism } from "node:os";
import { type ActorHandle, get, kill, type ObjectRef, placementGroup, put, type Scope, scope, wait } from "troupe";
import type { Row } from "./rows.ts";
import { rates } from "./timing.ts";
import {
  type AsyncServer, objectOfRefs, putLarge, putSmall, RemoteAsyncServer, RemoteClient, RemoteServer, type Server,
  smallValue, work,
} from "./workloads.ts";

const BATCH = 1000;
const CLIENTS = 4;
const TASKS_OF_A_CLIENT = 10_000;
const CALLS_OF_A_CLIENT = 5000;
const GROUPS = 100;
const SCOPED = 5000;
const PUT_LENGTH = 100 * 1024 * 1024;
/** Ray's actors for the n rows: half the cores. */
const N = Math.max(1, Math.floor(availableParallelism() / 2));

interface Prepared {
  readonly call: () => Promise<unknown>;
  /** Ended after the row. */
  readonly actors?: readonly object[];
}

function row(name: string, multiplier: number, prepare: () => Prepared | Promise<Prepared>): Row {
  return {
    name, unit: name.endsWith("gigabytes") ? "GB/s" : "1/s", better: "higher",
    async measure(windows) {
      const { call, actors = [] } = await prepare();
      const found = await rates(call, multiplier, windows);
      await Promise.all(actors.map((actor) => kill(actor)));
      return found;
    },
  };
}

function times<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

const objectRows: readonly Row[] = [
  row("single_client_get_calls", 1, async () => {
    const value = await put(0);
    return { call: () => get(value) };
  }),
  row("single_client_put_calls", 1, () => ({ call: () => put(0) })),
  row("multi_client_put_calls", 1000, () => ({ call: () => get(times(10, () => putSmall.remote())) })),
  row("single_client_put_gigabytes", 0.8, () => {
    const numbers = new Float64Array(PUT_LENGTH);
    return { call: () => put(numbers) };
  }),
  row("multi_client_put_gigabytes", 8, () => ({ call: () => get(times(10, () => putLarge.remote())) })),
  row("single_client_get_object_containing_10k_refs", 1, async () => {
    const ref: ObjectRef = objectOfRefs.remote();
    await get(ref);
    return { call: () => get(ref) };
  }),
];

const taskRows: readonly Row[] = [
  row("single_client_tasks_and_get_batch", 1, () => ({ call: () => get(times(BATCH, () => smallValue.remote())) })),
  row("single_client_wait_1k_refs", 1, () => ({
    call: async () => {
      let left: readonly ObjectRef<string>[] = times(BATCH, () => smallValue.remote());
      while (left.length > 0) left = (await wait(left)).pending;
    },
  })),
  row("single_client_tasks_sync", 1, () => ({ call: () => get(smallValue.remote()) })),
  row("single_client_tasks_async", BATCH, () => ({ call: () => get(times(BATCH, () => smallValue.remote())) })),
  row("multi_client_tasks_async", CLIENTS * TASKS_OF_A_CLIENT, () => {
    const actors = times(CLIENTS, () => RemoteServer.remote());
    return { actors, call: () => get(actors.map((actor) => actor.smallValueBatch.remote(TASKS_OF_A_CLIENT))) };
  }),
];

function callRows(kind: string, make: () => ActorHandle<Server> | ActorHandle<AsyncServer>): Row[] {
  const nClients = row(`n_n_${kind}_async`, CLIENTS * CALLS_OF_A_CLIENT, () => {
    const actors = times(N, make);
    return { actors, call: () => get(times(CLIENTS, () => work.remote(actors, CALLS_OF_A_CLIENT))) };
  });
  return [
    row(`1_1_${kind}_sync`, 1, () => {
      const actor = make();
      return { actors: [actor], call: () => get(actor.smallValue.remote()) };
    }),
    row(`1_1_${kind}_async`, BATCH, () => {
      const actor = make();
      return { actors: [actor], call: () => get(times(BATCH, () => actor.smallValue.remote())) };
    }),
    row(`1_n_${kind}_async`, N * CALLS_OF_A_CLIENT, () => {
      const actors = times(N, make);
      const client = RemoteClient.remote(actors);
      return { actors: [...actors, client], call: () => get(client.smallValueBatch.remote(CALLS_OF_A_CLIENT)) };
    }),
    nClients,
  ];
}

const actorRows: readonly Row[] = [
  ...callRows("actor_calls", () => RemoteServer.remote()),
  row("1_1_actor_calls_concurrent", BATCH, () => {
    const actor = RemoteServer.options({ maxConcurrency: 16 }).remote();
    return { actors: [actor], call: () => get(times(BATCH, () => actor.smallValue.remote())) };
  }),
  row("n_n_actor_calls_with_arg_async", N * BATCH, () => {
    const servers = times(N, () => RemoteServer.remote());
    const clients = servers.map((server) => RemoteClient.remote([server]));
    const call = () => get(clients.map((client) => client.smallValueBatchArg.remote(BATCH)));
    return { actors: [...servers, ...clients], call };
  }),
  ...callRows("async_actor_calls", () => RemoteAsyncServer.remote()),
  row("1_1_async_actor_calls_with_args_async", BATCH, () => {
    const actor = RemoteAsyncServer.remote();
    return { actors: [actor], call: () => get(times(BATCH, (i) => actor.smallValueWithArg.remote(i))) };
  }),
];

const groupRows: readonly Row[] = [
  row("placement_group_create/removal", GROUPS, () => ({
    call: async () => {
      const groups = await Promise.all(times(GROUPS, () => placementGroup([{ custom: 0.001 }])));
      await Promise.all(groups.map((group) => group.ready({ timeoutMs: 30_000 })));
      await Promise.all(groups.map((group) => group.remove()));
    },
  })),
];

/** A scope is opened, filled, and freed with all that it keeps. */
async function inScope(fill: (kept: Scope) => Promise<unknown>): Promise<void> {
  const kept = await scope("bench");
  await fill(kept);
  await kept.free();
}

const scopeRows: readonly Row[] = [
  row("scoped_puts", SCOPED, () => ({
    call: () => inScope((kept) => Promise.all(times(SCOPED, (i) => put(i, { scope: kept })))),
  })),
  row("scoped_tasks_async", SCOPED, () => ({
    call: () => inScope((kept) => {
      const task = smallValue.options({ scope: kept });
      return get(times(SCOPED, () => task.remote()));
    }),
  })),
];

export const rateRows: readonly Row[] = [...objectRows, ...taskRows, ...actorRows, ...groupRows, ...scopeRows];
