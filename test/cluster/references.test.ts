// Hundreds of random histories of references in real processes: every value that is read is right, and when all are over no store
// holds a byte, nothing lies on disk, and no process remembers an object. TROUPE_HISTORIES sets how many; TROUPE_SEED the first.

import { mkdtempSync, readdirSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { list } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { ReferenceHistory } from "./fixtures/reference-history.ts";

const HISTORIES = Number(process.env.TROUPE_HISTORIES ?? 100);
const FIRST = Number(process.env.TROUPE_SEED ?? 1);
const AT_ONCE = 5;
const A_ROUND = 25;

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

async function left(): Promise<unknown> {
  const [stores, objects, actors] = await Promise.all([
    list.stores(), list.objects({ limit: 5 }), list.actors({ filters: { state: "ALIVE" } }),
  ]);
  return {
    stores: stores.map(({ objects: here, evicted, spillFileBytes }) => ({ here, evicted, spillFileBytes })),
    objects: objects.map(({ id, size, state, localHandles, borrowers }) => ({ id, size, state, localHandles, borrowers })),
    actors: actors.length,
  };
}

describe("references", () => {
  test(`leave nothing behind in ${HISTORIES} random histories`, async () => {
    const nothing = { here: 0, evicted: 0, spillFileBytes: 0 };
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
      await expect.poll(left, { timeout: 60_000, interval: 500, message: `histories from ${from}` })
        .toEqual({ stores: [nothing, nothing], objects: [], actors: 0 });
    }
  }, 120_000 + HISTORIES * 5_000);
});
