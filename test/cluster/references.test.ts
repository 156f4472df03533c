// Hundreds of random histories of references in real processes: every value that is read is right, and when all are over no store
// holds a byte, nothing lies on disk, and no process remembers an object. TROUPE_HISTORIES sets how many; TROUPE_SEED the first.

import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { list } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import type { ObjectEntry } from "../../runtime/owner/index.ts";
import { ReferenceHistory } from "./fixtures/reference-history.ts";

const HISTORIES = Number(process.env.TROUPE_HISTORIES ?? (process.env.TROUPE_TRANSPORT === "grpc" ? 25 : 100));
const FIRST = Number(process.env.TROUPE_SEED ?? 1);
const AT_ONCE = 5;
const A_ROUND = 25;
/** What is held then is held for good. Garbage is collected by processes that idle: on a busy machine few do. */
const COLLECTED_WITHIN_MS = 120_000;

let cluster: TestCluster;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "references-"));
  const node = { numCpus: 2, objectStoreMemory: "24MiB", spillFolder: folder };
  cluster = await testCluster({ head: node, nodes: [node] });
  await cluster.connect();
});
afterAll(async () => {
  await cluster.stop();
  expect(readdirSync(folder)).toEqual([]);
  rmdirSync(folder);
});

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** What processes remember is asked last: they look through their heaps for it, and then they do not idle. */
async function left(): Promise<unknown> {
  collectGarbage();
  const [stores, actors] = await Promise.all([list.stores(), list.actors({ filters: { state: "ALIVE" } })]);
  const inStores = stores.map(({ objects, evicted, spillFileBytes }) => ({ objects, evicted, spillFileBytes }));
  const isEmpty = actors.length === 0 && stores.every(({ objects, evicted }) => objects + evicted === 0);
  const objects = isEmpty ? await list.objects({ limit: 5 }) : "not asked";
  return { stores: inStores, actors: actors.length, objects };
}

/** Who holds what is left, when something is. This program owns all handles of actors. */
async function holders(): Promise<string> {
  const { liveEntries } = (await import("../../dist/runtime/owner/objects/live-entries.js")) as { liveEntries(): ObjectEntry[] };
  const actors = await list.actors({ filters: { state: "ALIVE" } });
  const counted = new Map(liveEntries().map(({ id, count }) => [id, count]));
  const handles = actors.map((actor) => {
    const { local, borrowers } = counted.get(actor.id) ?? {};
    return { ...actor, local, borrowers: [...borrowers ?? []] };
  });
  return JSON.stringify({ objects: await list.objects(), handles, workers: (await list.workers()).map(({ id }) => id) });
}

describe("references", () => {
  test(`leave nothing behind in ${HISTORIES} random histories`, async () => {
    const nothing = { objects: 0, evicted: 0, spillFileBytes: 0 };
    for (let from = FIRST; from < FIRST + HISTORIES; from += A_ROUND) {
      const until = Math.min(from + A_ROUND, FIRST + HISTORIES);
      let next = from;
      const oneAfterTheOther = async () => {
        while (next < until) {
          const seed = next++;
          await new ReferenceHistory(seed).run().catch((error: unknown) => {
            throw new Error(`history ${seed}`, { cause: error });
          });
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, oneAfterTheOther));
      // Garbage is collected by processes that idle, within seconds each; what one drops may be garbage of the next.
      await expect.poll(left, { timeout: COLLECTED_WITHIN_MS, interval: 1000, message: `histories from ${from}` })
        .toEqual({ stores: [nothing, nothing], actors: 0, objects: [] })
        .catch(async (error: unknown) => {
          throw new Error(`held: ${await holders()}`, { cause: error });
        });
    }
  }, 2 * COLLECTED_WITHIN_MS + HISTORIES * 10_000);
});
