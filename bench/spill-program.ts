// One figure about a store that is too small, or about copying, on standard output: `node spill-program.js ROW`.
//
// TROUPE_BENCH_DATA_MIB is the size of the data, four times that of the store (default 512; 4096 is the full size).

import { open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, init, type ObjectRef, put, remote, shutdown } from "troupe";

const MIB = 2 ** 20;
const DATA_BYTES = Number(process.env.TROUPE_BENCH_DATA_MIB ?? 512) * MIB;
const STORE_BYTES = DATA_BYTES / 4;
const VALUE_BYTES = 8 * MIB;
const COUNT = DATA_BYTES / VALUE_BYTES;
/** 200 by 200 at the full size; smaller data has fewer blocks of the same size. */
const BLOCK_BYTES = (4096 * MIB) / 200 ** 2;
const PARTS = Math.floor(Math.sqrt(DATA_BYTES / BLOCK_BYTES));
const COPIED_BYTES = 256 * MIB;
const REPEATS = 5;

async function seconds(action: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await action();
  return (performance.now() - started) / 1000;
}

const rate = async (bytes: number, action: () => Promise<unknown>) => bytes / 1e9 / (await seconds(action));
const valueOf = (seed: number) => new Uint8Array(VALUE_BYTES).fill(seed % 251);

async function putAll(): Promise<ObjectRef<Uint8Array>[]> {
  const refs: ObjectRef<Uint8Array>[] = [];
  for (let seed = 0; seed < COUNT; seed += 1) refs.push(await put(valueOf(seed)));
  return refs;
}

async function spilling(): Promise<number> {
  return rate(DATA_BYTES - STORE_BYTES, putAll);
}

/** From the first on: all but the newest quarter lies on disk. */
async function restoring(): Promise<number> {
  const refs = await putAll();
  return rate(DATA_BYTES, async () => {
    for (const [seed, ref] of refs.entries()) {
      const bytes = await get(ref);
      if (bytes[0] !== seed % 251 || bytes[VALUE_BYTES - 1] !== seed % 251) throw new Error(`value ${seed} is wrong`);
    }
  });
}

/** Through a file in the same folder, as the system's caches let it. */
async function onDisk(what: "write" | "read"): Promise<number> {
  const name = join(tmpdir(), `troupe-bench-${process.pid}`);
  const file = await open(name, "wx+");
  const bytes = valueOf(1);
  const all = async (step: (at: number) => Promise<unknown>) => {
    for (let at = 0; at < DATA_BYTES; at += VALUE_BYTES) await step(at);
  };
  const write = () => all((at) => file.write(bytes, 0, VALUE_BYTES, at));
  const read = () => all((at) => file.read(bytes, 0, VALUE_BYTES, at));
  try {
    await unlink(name);
    if (what === "write") return await rate(DATA_BYTES, write);
    await write();
    return await rate(DATA_BYTES, read);
  } finally {
    await file.close();
  }
}

async function shuffling(): Promise<number> {
  const split = remote((from: number, parts: number, bytes: number) => (
    Array.from({ length: parts }, (_, to) => new Uint8Array(bytes).fill((from + to) % 251))
  ), { numReturns: PARTS });
  const merge = remote((...blocks: Uint8Array[]) => blocks.reduce((sum, block) => sum + block[0] + block.length, 0));
  return seconds(async () => {
    const rows = Array.from({ length: PARTS }, (_, from) => (
      split.remote(from, PARTS, BLOCK_BYTES | 0) as unknown as ObjectRef<Uint8Array>[]
    ));
    await get(Array.from({ length: PARTS }, (_, to) => merge.remote(...rows.map((row) => row[to]))));
  });
}

/** Its rate in times of a plain copy between two arrays that were written before. */
async function againstCopy(what: "put" | "get"): Promise<number> {
  const [from, to] = [new Uint8Array(COPIED_BYTES).fill(1), new Uint8Array(COPIED_BYTES).fill(2)];
  let best = 0;
  let copied = 0;
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    copied = Math.max(copied, await rate(COPIED_BYTES, async () => to.set(from)));
    let ref: ObjectRef<Uint8Array> | undefined;
    const putting = await rate(COPIED_BYTES, async () => (ref = await put(from)));
    // Read to the last byte: what is mapped alone costs nothing.
    const getting = await rate(COPIED_BYTES, async () => to.set(await get(ref as ObjectRef<Uint8Array>)));
    best = Math.max(best, what === "put" ? putting : getting);
    ref?.release();
  }
  return best / copied;
}

const MEASURES: Readonly<Record<string, () => Promise<number>>> = {
  spill_gbps: spilling, restore_gbps: restoring, disk_write_gbps: () => onDisk("write"), disk_read_gbps: () => onDisk("read"),
  shuffle_s: shuffling, put_to_memcpy: () => againstCopy("put"), get_to_memcpy: () => againstCopy("get"),
};

const row = process.argv[2];
await init({ objectStoreMemory: row.endsWith("memcpy") ? 4 * COPIED_BYTES : STORE_BYTES });
console.log(await MEASURES[row]());
await shutdown();
