// Clients of a shared store are killed at every step, while objects leave for the disk and come back under them: no value is
// ever wrong, and all they had is reclaimed. TROUPE_KILLS sets how many are killed.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { AgentSpilling, SpillSpace } from "../../runtime/agent/agent-spilling.ts";
import { openSpillStorage, openStore } from "../../runtime/store/index.ts";
import { createSharedStore } from "../../runtime/store/shared-host.ts";
import type { ObjectHandle, StoreBroker, StoreClient, StoreHost } from "../../runtime/store/store.ts";
import { brokerOf } from "../conformance/fixtures/store-worlds.ts";
import { fill, matches, type ToParent } from "./fixtures/store-values.ts";

const CHILD = fileURLToPath(new URL("./fixtures/store-child.ts", import.meta.url));
const CAPACITY = 64 * 1024 * 1024;
const LAST_STEP = 200;
/** Prime to the last step: every step's turn comes. */
const STEPS_APART = 7;
const KILLS = Number(process.env.TROUPE_KILLS ?? 40);
const SPILL_EVERY_MS = 5;
const AT_ONCE = 2;
const WITHIN_MS = 15_000;
const GIVEN_SIZES = [10_000, 200_000, 3_000_000, 9_000_000];

interface Value {
  readonly handle: ObjectHandle;
  readonly seed: number;
}

async function put(store: StoreClient, size: number, seed: number): Promise<Value> {
  const bytes = new Uint8Array(size);
  fill(bytes, seed);
  const object = await store.create(size);
  await object.write(0, bytes);
  return { handle: object.seal(), seed };
}

/** Makes everything leave that nobody reads, again and again, and brings back what is asked for. */
class Disk {
  readonly #host: StoreHost;
  readonly #spilling: AgentSpilling;
  readonly #restoring = new Map<number, Promise<void>>();
  #running = true;
  readonly #loop: Promise<void>;

  constructor(host: StoreHost, space: SpillSpace) {
    this.#host = host;
    this.#spilling = new AgentSpilling(host, space, () => false);
    this.#loop = this.#run();
  }

  /** False when the object is gone. */
  async bring(handle: ObjectHandle): Promise<boolean> {
    for (let tries = 0; tries < 1000; tries += 1) {
      const where = this.#host.whereabouts(handle);
      if (where !== "evicted") return where === "here";
      const underway = this.#restoring.get(handle.slot) ?? this.#restore(handle);
      this.#restoring.set(handle.slot, underway);
      await underway.finally(() => this.#restoring.delete(handle.slot));
    }
    return false;
  }

  freed(handle: ObjectHandle): void {
    this.#spilling.freed(handle);
  }

  sweep(): void {
    this.#spilling.sweep();
  }

  stats(): ReturnType<AgentSpilling["stats"]> {
    return this.#spilling.stats();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }

  async #restore(handle: ObjectHandle): Promise<void> {
    const size = this.#spilling.sizeOf(handle);
    const range = size === undefined ? undefined : this.#host.restore({ ...handle, size });
    if (range === undefined) await sleep(1);
    else await this.#spilling.restore(handle, range);
  }

  async #run(): Promise<void> {
    while (this.#running) {
      await this.#spilling.spill(this.#host.map().units);
      await sleep(SPILL_EVERY_MS);
    }
  }
}

/** One child from its start to its death; values that it sealed. */
class Victim {
  readonly sealed: Value[] = [];
  readonly wrong: number[] = [];
  readonly #process: ChildProcess;
  readonly #broker: StoreBroker;
  readonly client: number;
  readonly #disk: Disk;

  constructor(host: StoreHost, disk: Disk, killAt: number, given: readonly Value[]) {
    const grant = host.admit(`victim ${killAt}`);
    this.client = grant.client;
    this.#disk = disk;
    this.#broker = brokerOf(host, grant.client);
    this.#process = fork(CHILD, [String(killAt)], { execArgv: ["--import", "tsx"] });
    this.#process.on("message", (message: ToParent) => this.#said(message));
    const { layout, ...rest } = grant;
    this.#process.send({ kind: "start", grant: rest, layout: Buffer.from(layout).toString(), given });
  }

  async ended(): Promise<NodeJS.Signals | null> {
    const timer = setTimeout(() => this.#process.kill("SIGTERM"), WITHIN_MS);
    await new Promise((resolve) => void this.#process.once("close", resolve));
    clearTimeout(timer);
    return this.#process.signalCode;
  }

  #said(message: ToParent): void {
    if (message.kind === "sealed") this.sealed.push(message);
    else if (message.kind === "wrong") this.wrong.push(message.seed);
    else {
      const answer = (value: unknown) => {
        // It may be dead already.
        if (this.#process.connected) this.#process.send({ kind: "answer", id: message.id, value }, () => {});
      };
      // A store that stays full leaves the child waiting: the test sees that it did not die of its own hand.
      const { name } = message;
      if (name === "bring") this.#disk.bring(message.handle).then(answer, () => {});
      else this.#broker[name](message.value).then(answer, () => {});
    }
  }
}

describe.skipIf(native === undefined)("a store whose clients are killed", () => {
  it("keeps every value right and leaks nothing", async () => {
    const folder = mkdtempSync(join(tmpdir(), "troupe-crash-"));
    const storage = await openSpillStorage(folder);
    expect(readdirSync(folder)).toEqual([]);
    rmdirSync(folder);
    const space = new SpillSpace(storage);
    const host = createSharedStore(native as NonNullable<typeof native>, CAPACITY, space.overflow);
    const disk = new Disk(host, space);
    const grant = host.admit("checker");
    const store = openStore(grant, brokerOf(host, grant.client));
    const given = await Promise.all(GIVEN_SIZES.map((size, index) => put(store, size, index + 1)));
    const isRight = async ({ handle, seed }: Value): Promise<boolean> => {
      let object = store.open(handle);
      while (object === undefined && (await disk.bring(handle))) object = store.open(handle);
      if (object === undefined) return false;
      const right = matches(new Uint8Array(object.buffer()), seed);
      object.release();
      return right;
    };
    const areRight = async (values: readonly Value[]) => {
      for (const value of values) expect(await isRight(value), `value ${value.seed}`).toBe(true);
    };
    let kills = 0;
    const next = async (): Promise<void> => {
      while (kills < KILLS) {
        const turn = kills++;
        const killAt = 1 + (turn * STEPS_APART) % LAST_STEP;
        const victim = new Victim(host, disk, killAt, given);
        const signal = await victim.ended();
        expect({ killAt, signal, wrong: victim.wrong }).toEqual({ killAt, signal: "SIGKILL", wrong: [] });
        const heir = -1 - turn;
        host.expel(victim.client, heir);
        await areRight(victim.sealed);
        await areRight(given);
        host.freeAllOf(heir);
        disk.sweep();
        // The ranges of the dead are written anew at once.
        const reused = await put(store, 1_000_000 + killAt, killAt);
        await areRight([reused]);
        host.free(reused.handle);
        disk.freed(reused.handle);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    await disk.stop();
    expect(disk.stats().restoredBytes).toBeGreaterThan(0);
    for (const { handle } of given) host.free(handle);
    disk.sweep();
    expect(disk.stats().spillFileBytes).toBe(0);
    for (let tries = 0; tries < 200 && host.stats().freedAndPinned > 0; tries += 1) {
      host.sweep();
      await sleep(5);
    }
    expect(host.stats()).toMatchObject({ objects: 0, freedAndPinned: 0, clients: 1 });
    store.close();
    host.expel(grant.client, -1_000);
    expect(host.stats()).toMatchObject({ used: 0, clients: 0 });
    host.close();
    await storage.close();
  }, 60_000 + KILLS * 4_000);
});
