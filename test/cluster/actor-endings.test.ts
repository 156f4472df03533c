// How actors end: by themselves, with their last handle, with what they leave behind, and what outlives a driver.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDiedError, type ActorHandle, actorState, exitActor, get, getActor, getRuntimeContext, init, InvalidArgumentError, kill,
  NameTakenError, ready, remote, shutdown,
} from "troupe";
import { testCluster } from "troupe/testing";
import { until } from "../until.ts";

const folder = mkdtempSync(join(tmpdir(), "ends-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

class Worker {
  readonly file: string;
  constructor(file = "") {
    this.file = file;
  }
  async mark(text: string): Promise<void> {
    const { appendFileSync } = await import("node:fs");
    if (this.file !== "") appendFileSync(this.file, `${text}\n`);
  }
  pid(): number {
    return process.pid;
  }
  /** What it is told of its end is caught: it ends all the same. */
  async leave(caught = false): Promise<string> {
    if (!caught) {
      exitActor();
      await this.mark("after");
    }
    try {
      exitActor();
    } catch {
      await this.mark("caught");
    }
    return "stays";
  }
  async late(ms: number): Promise<string> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    await this.mark("late");
    return "late";
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.mark("disposed");
  }
}
const RemoteWorker = remote(Worker);

describe("in one cluster", () => {
  beforeAll(async () => {
    await init({ numCpus: 2, objectStoreMemory: "128MiB" });
  });
  afterAll(() => shutdown());

  test("exitActor ends the call, those that wait and the actor; what runs may end, then it cleans up", async () => {
    const file = join(folder, "exit");
    const worker = RemoteWorker.options({ maxRestarts: 5, maxTaskRetries: 5, maxConcurrency: 2 }).remote(file);
    const pid = await get(worker.pid.remote());
    const running = worker.late.remote(300);
    const leaves = worker.leave.remote();
    const queued = [worker.late.remote(1), worker.pid.remote()];
    for (const ref of [leaves, ...queued]) await expect(get<unknown>(ref)).rejects.toThrow(ActorDiedError);
    expect(await get(running)).toBe("late");
    await until(() => !alive(pid));
    expect(textOf(file)).toBe("late\ndisposed\n");
    await expect(get(worker.pid.remote())).rejects.toThrow(/exitActor/);
    expect(await actorState(worker)).toMatchObject({ state: "DEAD", restarts: 0 });
  });

  test("what catches the end does not stop it", async () => {
    const file = join(folder, "caught");
    const worker = RemoteWorker.remote(file);
    await expect(get(worker.leave.remote(true))).rejects.toThrow(ActorDiedError);
    await until(() => textOf(file) === "caught\ndisposed\n");
  });

  test("exitActor elsewhere is a mistake", async () => {
    expect(() => exitActor()).toThrow(InvalidArgumentError);
    await expect(get(remote(() => exitActor()).remote())).rejects.toThrow(InvalidArgumentError);
  });

  test("the last handle gone: the calls that were made are answered, then it cleans up and ends", async () => {
    const file = join(folder, "handle");
    const worker = RemoteWorker.remote(file);
    const pid = await get(worker.pid.remote());
    const refs = [worker.late.remote(100), worker.late.remote(1), worker.late.remote(1)];
    worker[Symbol.dispose]();
    expect(await get(refs)).toEqual(["late", "late", "late"]);
    await until(() => !alive(pid));
    expect(textOf(file)).toBe("late\nlate\nlate\ndisposed\n");
  });

  test("a handle that is dropped before its actor is there leaves nothing", async () => {
    const never = remote(() => new Promise<string>((resolve) => setTimeout(resolve, 200, join(folder, "early"))));
    const worker = RemoteWorker.options({ name: "early" }).remote(never.remote());
    worker[Symbol.dispose]();
    const named = RemoteWorker.options({ name: "early2" }).remote(join(folder, "early"));
    named[Symbol.dispose]();
    await until(async () => {
      const { list } = await import("troupe");
      const rows = await list.actors();
      return !rows.some(({ name, state }) => String(name).startsWith("early") && state !== "DEAD");
    });
  });

  test("kill leaves no clean-up", async () => {
    const file = join(folder, "killed");
    const worker = RemoteWorker.remote(file);
    const pid = await get(worker.pid.remote());
    await kill(worker);
    await until(() => !alive(pid));
    expect(textOf(file)).toBe("");
  });

  test("many getIfExists at once are one actor", async () => {
    const create = remote(async () => {
      const handle = RemoteWorker.options({ name: "raced", getIfExists: true, lifetime: "detached" }).remote();
      return get(handle.pid.remote());
    });
    const pids = await get(Array.from({ length: 8 }, () => create.remote()));
    expect(new Set(pids).size).toBe(1);
    await expect(get(RemoteWorker.options({ name: "raced" }).remote().pid.remote())).rejects.toThrow(NameTakenError);
    await kill(await getActor("raced"));
  });

  test("its arguments are there for every life", async () => {
    class Holder {
      readonly #bytes: Uint8Array;
      constructor(bytes: Uint8Array) {
        this.#bytes = bytes;
      }
      sum(): [number, boolean] {
        return [this.#bytes.reduce((sum, one) => sum + one, 0), getRuntimeContext().restarted];
      }
    }
    const holder = remote(Holder, { maxRestarts: 2 }).remote(new Uint8Array(300_000).fill(1));
    expect(await get(holder.sum.remote())).toEqual([300_000, false]);
    await kill(holder, { noRestart: false });
    expect(await get(holder.sum.options({ maxTaskRetries: 3 }).remote())).toEqual([300_000, true]);
  });
});

describe("a detached actor", () => {
  afterEach(() => shutdown());

  test("outlives its driver until it is killed, and starts again after a crash with the code and arguments it had", async () => {
    await using cluster = await testCluster({ head: { numCpus: 2 } });
    await cluster.connect();
    const seed = 41;
    class Keeper {
      readonly #bytes: Uint8Array;
      #calls = 0;
      constructor(bytes: Uint8Array) {
        this.#bytes = bytes;
      }
      add(): [number, number, number] {
        this.#calls += 1;
        return [seed + this.#calls, this.#bytes.length, process.pid];
      }
      namespace(): string {
        return getRuntimeContext().namespace;
      }
    }
    const options = { name: "keeper", namespace: "shared", lifetime: "detached", maxRestarts: 3, maxTaskRetries: 3 } as const;
    const keeper = remote(Keeper, options).remote(new Uint8Array(500_000));
    const [first, , pid] = await get(keeper.add.remote());
    expect(first).toBe(42);
    await shutdown();

    await cluster.connect();
    const found = await getActor<Keeper>("keeper", { namespace: "shared" });
    expect(await get(found.add.remote())).toEqual([43, 500_000, pid]);
    process.kill(pid, "SIGKILL");
    const again = found as ActorHandle<Keeper>;
    const [count, bytes, second] = await get(again.add.remote());
    expect([count, bytes]).toEqual([42, 500_000]);
    expect(second).not.toBe(pid);
    expect(await get(again.namespace.remote())).not.toBe("");
    await kill(again);
    await until(() => !alive(second));
  });
});
