// Clients of a shared store are killed at every step, while objects leave for the disk and come back under them: no value is
// ever wrong, and all they had is reclaimed. TROUPE_KILLS sets how many processes the crash tests kill in all; 20,000 with
// `npm run test:kills`.

import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { AgentSpilling, SpillSpace } from "../../runtime/agent/objects/agent-spilling.ts";
import { createStore, openSpillStorage, openStore, type SpillStorage } from "../../runtime/store/index.ts";
import type { ObjectHandle, StoreBroker, StoreClient, StoreHost } from "../../runtime/store/store.ts";
import { brokerOf } from "../conformance/fixtures/store-worlds.ts";
import { bundled, signalOf, startChild } from "./fixtures/child-program.ts";
import { Fates, killsOf } from "./fixtures/fates.ts";
import type { Doing, Fate } from "./fixtures/steps.ts";
import { fill, matches, type ToParent, type Value } from "./fixtures/store-values.ts";

const CAPACITY = 64 * 1024 * 1024;
/** In what the disk does they are killed from outside, else by themselves. */
const LAST_STEPS = { create: 90, write: 25, seal: 40, abort: 12, get: 70, release: 50, spill: 40, restore: 25 };
const SPILL_EVERY_MS = 5;
const AT_ONCE = 2;
/** What is not back from the disk by then does not come back, also where the disk has much else to do. */
const BACK_WITHIN_MS = 60_000;
const KILLS = killsOf(0.9);
const GIVEN_SIZES = [10_000, 200_000, 3_000_000, 9_000_000];

async function put(store: StoreClient, size: number, seed: number): Promise<Value> {
  const bytes = new Uint8Array(size);
  fill(bytes, seed);
  const object = await store.create(size);
  await object.write(0, bytes);
  return { handle: object.seal(), seed };
}

/** Told before and after each access. */
function watched(inner: SpillStorage, step: (doing: Doing) => void): SpillStorage {
  const around = async (doing: Doing, access: () => Promise<void>) => {
    step(doing);
    await access().finally(() => step(doing));
  };
  return {
    path: inner.path,
    write: (offset, bytes) => around("spill", () => inner.write(offset, bytes)),
    read: (offset, into) => around("restore", () => inner.read(offset, into)),
    reserve: (offset, length) => inner.reserve(offset, length),
    punch: (offset, length) => inner.punch(offset, length),
    close: () => inner.close(),
  };
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
    for (const end = performance.now() + BACK_WITHIN_MS; performance.now() < end; ) {
      const where = this.#host.whereabouts(handle);
      if (where !== "evicted") return where === "here";
      const underway = this.#restoring.get(handle.slot) ?? this.#restore(handle);
      this.#restoring.set(handle.slot, underway);
      await underway.finally(() => this.#restoring.delete(handle.slot));
    }
    throw new Error(`object ${handle.slot} was not back from the disk in ${BACK_WITHIN_MS / 1000} s`);
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

/** One client from its start to its death; values that it sealed. */
class Victim {
  readonly sealed: Value[] = [];
  readonly wrong: number[] = [];
  /** Why it waits for an answer in vain. */
  readonly unanswered: unknown[] = [];
  readonly #process: ChildProcess;
  readonly #broker: StoreBroker;
  readonly client: number;
  readonly ended: Promise<NodeJS.Signals | null>;
  readonly #disk: Disk;
  readonly #fate: Fate;
  #diskSteps = 0;

  constructor(program: string, host: StoreHost, disk: Disk, fate: Fate, given: readonly Value[]) {
    this.#fate = fate;
    const grant = host.admit(`victim of ${fate.in}`);
    this.client = grant.client;
    this.#disk = disk;
    this.#broker = brokerOf(host, grant.client);
    this.#process = startChild(program, [fate.in, String(fate.at)]);
    this.ended = signalOf(this.#process);
    this.#process.on("message", (message: ToParent) => this.#said(message));
    const { layout, ...rest } = grant;
    this.#process.send({ kind: "start", grant: rest, layout: Buffer.from(layout).toString(), given });
  }

  /** They count from its first object on. */
  diskStep(doing: Doing): void {
    if (this.sealed.length === 0 || doing !== this.#fate.in) return;
    this.#diskSteps += 1;
    if (this.#diskSteps === this.#fate.at) this.#process.kill("SIGKILL");
  }

  #said(message: ToParent): void {
    if (message.kind === "sealed") this.sealed.push(message);
    else if (message.kind === "wrong") this.wrong.push(message.seed);
    else {
      const answer = (value: unknown) => {
        // It may be dead already.
        if (this.#process.connected) this.#process.send({ kind: "answer", id: message.id, value }, () => {});
      };
      const { name } = message;
      const asked = name === "bring" ? this.#disk.bring(message.handle) : this.#broker[name](message.value);
      asked.then(answer, (reason: unknown) => {
        this.unanswered.push(reason);
        this.#process.kill("SIGTERM");
      });
    }
  }
}

describe.skipIf(native === undefined)("a store whose clients are killed", () => {
  let program: Awaited<ReturnType<typeof bundled>>;
  beforeAll(async () => void (program = await bundled("store-child")));
  afterAll(() => program?.remove());

  it(`keeps every value right and leaks nothing, ${KILLS} times`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "troupe-crash-"));
    const storage = await openSpillStorage(folder);
    expect(readdirSync(folder)).toEqual([]);
    rmdirSync(folder);
    /** Clients that are to die while the disk is at work. */
    const doomed = new Set<Victim>();
    const space = new SpillSpace(watched(storage, (doing) => doomed.forEach((victim) => victim.diskStep(doing))));
    const host = createStore({ capacity: CAPACITY, overflow: space.overflow });
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
    const fates = new Fates(KILLS, LAST_STEPS);
    const oneAfterTheOther = async (): Promise<void> => {
      for (let fate = fates.next(); fate !== undefined; fate = fates.next()) {
        const { turn, ...killed } = fate;
        const victim = new Victim(program.path, host, disk, killed, given);
        doomed.add(victim);
        const signal = await victim.ended;
        doomed.delete(victim);
        const { wrong, unanswered } = victim;
        expect({ killed, signal, wrong, unanswered }).toEqual({ killed, signal: "SIGKILL", wrong: [], unanswered: [] });
        fates.ended();
        const heir = -1 - turn;
        host.expel(victim.client, heir);
        await areRight(victim.sealed);
        await areRight(given);
        host.freeAllOf(heir);
        disk.sweep();
        // The ranges of the dead are written anew at once.
        const reused = await put(store, 1_000_000 + (turn % 512) * 4, turn);
        await areRight([reused]);
        host.free(reused.handle);
        disk.freed(reused.handle);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, oneAfterTheOther));
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
    host.expel(grant.client, -1 - KILLS);
    expect(host.stats()).toMatchObject({ used: 0, evicted: 0, overflow: 0, clients: 0 });
    host.close();
    await storage.close();
  }, 60_000 + KILLS * 4_000);
});
