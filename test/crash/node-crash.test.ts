// Whole nodes are killed at every step of spilling, restoring and moving objects, while another node reads what they have and
// they read what it has: that one has no wrong value, gives back what it had begun, and keeps nothing of the dead.

import type { ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { ObjectFetchTimeoutError, ObjectLostError } from "../../runtime/errors.ts";
import { openSpillStorage } from "../../runtime/store/index.ts";
import { bundled, signalOf, startChild } from "./fixtures/child-program.ts";
import { Fates, killsOf } from "./fixtures/fates.ts";
import { type Message, type NodeValue, StoreNode } from "./fixtures/store-node.ts";

const CAPACITY = 24 * 1024 * 1024;
const LAST_STEPS = { create: 150, get: 200, free: 8, spill: 60, restore: 60, send: 60, receive: 40 };
const AT_ONCE = 2;
const KILLS = killsOf(0.1);
const GIVEN_SIZES = [100_000, 4_000_000, 700_000, 9_000_000, 2_500_000];

interface Reads {
  right: number;
  wrong: number;
  lost: number;
}

/** One node from its start to its death, and what was read of it until then. */
async function killed(
  child: ChildProcess, name: string, first: StoreNode, given: readonly NodeValue[],
): Promise<{ signal: NodeJS.Signals | null; wrong: number[]; reads: Reads }> {
  const wrong: number[] = [];
  const reads: Reads = { right: 0, wrong: 0, lost: 0 };
  const reading: Promise<void>[] = [];
  const read = async (value: NodeValue) => {
    try {
      reads[(await first.isRight(value)) ? "right" : "wrong"] += 1;
    } catch (error) {
      // Freed by its owner, or gone with it; or out of reach for a while, on a busy machine.
      if (!(error instanceof ObjectLostError) && !(error instanceof ObjectFetchTimeoutError)) throw error;
      reads.lost += 1;
    }
  };
  child.on("message", (message: Message) => {
    if (message.kind === "wrong") wrong.push(message.seed);
    else if (message.kind === "value") reading.push(read(message.value));
  });
  for (const value of given) child.send({ kind: "value", value } satisfies Message);
  const signal = await signalOf(child);
  await Promise.all(reading);
  await expect.poll(() => first.deathOf(name)).toBeDefined();
  first.objects.nodeDied(name);
  return { signal, wrong, reads };
}

describe.skipIf(native === undefined)("nodes that are killed", () => {
  let program: Awaited<ReturnType<typeof bundled>>;
  beforeAll(async () => void (program = await bundled("node-child")));
  afterAll(() => program?.remove());

  it(`leave nothing behind at another, ${KILLS} times`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "troupe-crash-"));
    const spillFolder = mkdtempSync(join(folder, "spill-"));
    const storage = await openSpillStorage(spillFolder);
    const first = new StoreNode("first", folder, CAPACITY, storage, () => {});
    const listener = await first.listen();
    const given: NodeValue[] = [];
    for (const [index, size] of GIVEN_SIZES.entries()) given.push(await first.put(size, index + 1));
    const fates = new Fates(KILLS, LAST_STEPS);
    let right = 0;
    const oneAfterTheOther = async (): Promise<void> => {
      for (let fate = fates.next(); fate !== undefined; fate = fates.next()) {
        const name = `node-${fate.turn}`;
        const child = startChild(program.path, [folder, name, spillFolder, fate.in, String(fate.at)]);
        const { signal, wrong, reads } = await killed(child, name, first, given);
        expect({ fate, signal, wrong, readWrong: reads.wrong }).toEqual({ fate, signal: "SIGKILL", wrong: [], readWrong: 0 });
        fates.ended();
        right += reads.right;
        expect(readdirSync(spillFolder)).toEqual([]);
        rmSync(`${folder}/${name}.sock`, { force: true });
        for (const value of given) expect(await first.isRight(value), `value ${value.seed}`).toBe(true);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, oneAfterTheOther));
    expect(right).toBeGreaterThan(KILLS);
    const held = () => {
      first.objects.sweep();
      const { objects, evicted, freedAndPinned } = first.host.stats();
      return { objects: objects + evicted, freedAndPinned };
    };
    await expect.poll(held).toEqual({ objects: given.length, freedAndPinned: 0 });
    given.forEach((value) => first.free(value));
    await expect.poll(held).toEqual({ objects: 0, freedAndPinned: 0 });
    expect(first.objects.stats()).toMatchObject({ waiting: 0, spillFileBytes: 0 });
    first.close();
    expect(first.host.stats()).toMatchObject({ used: 0, objects: 0, evicted: 0, overflow: 0, freedAndPinned: 0 });
    first.host.close();
    await storage.close();
    await listener.close();
    rmdirSync(spillFolder);
    rmdirSync(folder);
  }, 60_000 + KILLS * 6_000);
});
