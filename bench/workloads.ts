// What the rows run remotely: the tasks and actors of Ray's microbenchmark, one for one.

import { type ActorHandle, get, type ObjectRef, put, remote } from "troupe";

/** Ray's rows return the two bytes b"ok". */
const SMALL = "ok";
const PUTS_SMALL = 100;
const PUTS_LARGE = 10;
const LARGE_LENGTH = 10 * 1024 * 1024;
const REFS = 10_000;

export const smallValue = remote(() => SMALL);

export const putSmall = remote(async () => {
  for (let i = 0; i < PUTS_SMALL; i += 1) await put(0);
});

export const putLarge = remote(async () => {
  for (let i = 0; i < PUTS_LARGE; i += 1) await put(new Float64Array(LARGE_LENGTH));
});

export const objectOfRefs = remote(async () => {
  const refs: ObjectRef<number>[] = [];
  for (let i = 0; i < REFS; i += 1) refs.push(await put(1));
  return refs;
});

export class Server {
  smallValue(): string {
    return SMALL;
  }

  smallValueArg(_value: number): string {
    return SMALL;
  }

  async smallValueBatch(count: number): Promise<void> {
    await get(Array.from({ length: count }, () => smallValue.remote()));
  }
}

export class AsyncServer {
  async smallValue(): Promise<string> {
    return SMALL;
  }

  async smallValueWithArg(_value: number): Promise<string> {
    return SMALL;
  }
}

type AnyServer = ActorHandle<Server> | ActorHandle<AsyncServer>;

export class Client {
  readonly #servers: readonly AnyServer[];

  constructor(servers: readonly AnyServer[]) {
    this.#servers = servers;
  }

  async smallValueBatch(count: number): Promise<void> {
    await get(this.#servers.flatMap((server) => Array.from({ length: count }, () => server.smallValue.remote())));
  }

  async smallValueBatchArg(count: number): Promise<void> {
    const value = await put(0);
    const servers = this.#servers as readonly ActorHandle<Server>[];
    await get(servers.flatMap((server) => Array.from({ length: count }, () => server.smallValueArg.remote(value))));
  }
}

/** Calls to several actors in turn, from a task. */
export const work = remote(async (servers: readonly AnyServer[], count: number) => {
  await get(Array.from({ length: count }, (_, i) => servers[i % servers.length].smallValue.remote()));
});

export const RemoteServer = remote(Server, { numCpus: 0 });
export const RemoteClient = remote(Client, { numCpus: 0 });
/** An asyncio actor of Ray interleaves up to 1000 calls; here that is asked for. */
export const RemoteAsyncServer = remote(AsyncServer, { maxConcurrency: 1000 });
