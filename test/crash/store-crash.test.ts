// Clients of a shared store are killed at every step: no value is ever wrong, and all they had is reclaimed.

import { type ChildProcess, fork } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { openStore } from "../../runtime/store/index.ts";
import { createSharedStore } from "../../runtime/store/shared-host.ts";
import type { ObjectHandle, StoreBroker, StoreClient, StoreHost } from "../../runtime/store/store.ts";
import { brokerOf } from "../conformance/fixtures/store-worlds.ts";
import { fill, matches, type ToParent } from "./fixtures/store-values.ts";

const CHILD = fileURLToPath(new URL("./fixtures/store-child.ts", import.meta.url));
const CAPACITY = 64 * 1024 * 1024;
const LAST_STEP = 200;
const STEPS_APART = 7;
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

/** One child from its start to its death; values that it sealed. */
class Victim {
  readonly sealed: Value[] = [];
  readonly wrong: number[] = [];
  readonly #process: ChildProcess;
  readonly #broker: StoreBroker;
  readonly client: number;

  constructor(host: StoreHost, killAt: number, given: readonly Value[]) {
    const grant = host.admit(`victim ${killAt}`);
    this.client = grant.client;
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
        if (this.#process.connected) this.#process.send({ kind: "answer", id: message.id, value });
      };
      // A store that stays full leaves the child waiting: the test sees that it did not die of its own hand.
      this.#broker[message.name](message.value).then(answer, () => {});
    }
  }
}

describe.skipIf(native === undefined)("a store whose clients are killed", () => {
  it("keeps every value right and leaks nothing", async () => {
    const host = createSharedStore(native as NonNullable<typeof native>, CAPACITY);
    const grant = host.admit("checker");
    const store = openStore(grant, brokerOf(host, grant.client));
    const given = await Promise.all(GIVEN_SIZES.map((size, index) => put(store, size, index + 1)));
    const isRight = ({ handle, seed }: Value): boolean => {
      const object = store.open(handle);
      if (object === undefined) return false;
      const right = matches(new Uint8Array(object.buffer()), seed);
      object.release();
      return right;
    };
    const steps = Array.from({ length: Math.ceil(LAST_STEP / STEPS_APART) }, (_, index) => 1 + index * STEPS_APART);
    const next = async (): Promise<void> => {
      for (let killAt = steps.shift(); killAt !== undefined; killAt = steps.shift()) {
        const victim = new Victim(host, killAt, given);
        const signal = await victim.ended();
        expect({ killAt, signal, wrong: victim.wrong }).toEqual({ killAt, signal: "SIGKILL", wrong: [] });
        const heir = -1 - killAt;
        host.expel(victim.client, heir);
        expect(victim.sealed.filter((value) => !isRight(value))).toEqual([]);
        expect(given.filter((value) => !isRight(value))).toEqual([]);
        host.freeAllOf(heir);
        // The ranges of the dead are written anew at once.
        const reused = await put(store, 1_000_000 + killAt, killAt);
        expect(isRight(reused)).toBe(true);
        host.free(reused.handle);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    for (const { handle } of given) host.free(handle);
    for (let tries = 0; tries < 200 && host.stats().freedAndPinned > 0; tries += 1) {
      host.sweep();
      await sleep(5);
    }
    expect(host.stats()).toMatchObject({ objects: 0, freedAndPinned: 0, clients: 1 });
    store.close();
    host.expel(grant.client, -1_000);
    expect(host.stats()).toMatchObject({ used: 0, clients: 0 });
    host.close();
  }, 120_000);
});
