// What the shared-memory object store costs in one process: puts and gets of any size, beside a copy between two plain arrays.
// Run: node --import tsx bench/store.ts [largest size in MiB, default 1024]
//
// put    create, write and seal, awaited; the object is freed at once, so every round after the first writes warm pages
// cold   the first put of that size: the operating system makes the pages
// get    open, one ArrayBuffer over the whole object, release: nothing is copied or looked at
// read   the same, and one byte of every page is looked at
// copy   Uint8Array.set between two plain arrays that were written before: one thread

import { setTimeout as delay } from "node:timers/promises";
import {
  createStore,
  openStore,
  type ObjectHandle,
  type StoreBroker,
  type StoreClient,
  type StoreHost,
} from "../runtime/store/index.ts";
import { median, shown } from "./timing.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const PAGE = 4096;
/** Bytes moved for one figure, within these bounds. */
const ROUND_BYTES = 2 * GIB;
const ROUNDS_MIN = 5;
const ROUNDS_MAX = 20_000;
const ASK_AGAIN_MS = 1;
const ASK_TIMES = 2000;

const largest = Number(process.argv[2] ?? 1024) * MIB;
const sizes = [4 * KIB, 64 * KIB, 256 * KIB, 512 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB].filter(
  (size) => size <= largest,
);

function brokerOf(host: StoreHost, client: number): StoreBroker {
  async function granted<T>(ask: () => T | undefined): Promise<T> {
    for (let times = 0; times < ASK_TIMES; times += 1) {
      const answer = ask();
      if (answer !== undefined) return answer;
      await delay(ASK_AGAIN_MS);
      host.sweep();
    }
    throw new Error("the store of this benchmark is full");
  }
  return {
    slab: (sizeClass) => granted(() => host.slab(client, sizeClass)),
    descriptors: (count) => granted(() => host.descriptors(client, count)),
    allocate: (bytes) => granted(() => host.allocate(client, bytes)),
  };
}

async function put(client: StoreClient, source: Uint8Array): Promise<ObjectHandle> {
  const object = client.tryCreate(source.length) ?? (await client.create(source.length));
  const written = object.write(0, source);
  if (written !== undefined) await written;
  return object.seal();
}

function get(client: StoreClient, handle: ObjectHandle, look: boolean): number {
  const object = client.open(handle);
  if (object === undefined) throw new Error("the object is gone");
  const bytes = new Uint8Array(object.buffer());
  let sum = 0;
  if (look) for (let at = 0; at < bytes.length; at += PAGE) sum += bytes[at];
  object.release();
  return sum;
}

/** Median microseconds of a call. Pages of large objects go back on helper threads: their turn comes between calls. */
async function cost(rounds: number, call: () => unknown, between?: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const started = process.hrtime.bigint();
    const result = call();
    if (result instanceof Promise) await result;
    times.push(Number(process.hrtime.bigint() - started) / 1000);
    if (between !== undefined) await between();
  }
  return median(times);
}

async function settled(client: StoreClient): Promise<void> {
  while (client.pinned().objects > 0) await delay(1);
}

async function row(host: StoreHost, writer: StoreClient, reader: StoreClient, size: number): Promise<string[]> {
  const rounds = Math.min(ROUNDS_MAX, Math.max(ROUNDS_MIN, Math.floor(ROUND_BYTES / size / 8)));
  const source = new Uint8Array(size).fill(1);
  const target = new Uint8Array(size).fill(2);
  const copy = await cost(rounds, () => target.set(source));
  const coldFrom = process.hrtime.bigint();
  host.free(await put(writer, source));
  const cold = Number(process.hrtime.bigint() - coldFrom) / 1000;
  const warm = await cost(rounds, async () => host.free(await put(writer, source)));
  const handle = await put(writer, source);
  const opened = await cost(rounds, () => get(reader, handle, false), () => settled(reader));
  const looked = await cost(Math.min(rounds, 200), () => get(reader, handle, true), () => settled(reader));
  host.free(handle);
  const rate = (us: number): string => `${shown((size / us) * 1e-3)} GB/s`;
  return [
    size < MIB ? `${size / KIB} KiB` : `${size / MIB} MiB`,
    `${shown(warm)} µs`,
    rate(warm),
    `${shown(cold)} µs`,
    `${shown(opened)} µs`,
    `${shown(looked)} µs`,
    `${shown(copy)} µs`,
    rate(copy),
  ];
}

/** The least an object costs: create and seal, nothing written. */
async function smallest(host: StoreHost, writer: StoreClient): Promise<number> {
  const handles: ObjectHandle[] = [];
  const spent = await cost(20_000, async () => {
    const object = writer.tryCreate(100) ?? (await writer.create(100));
    handles.push(object.seal());
    if (handles.length === 256) for (const handle of handles.splice(0)) host.free(handle);
  });
  for (const handle of handles) host.free(handle);
  return spent;
}

const host = createStore({ capacity: Math.max(2 * largest, 256 * MIB) });
const [writer, reader] = ["writer", "reader"].map((owner) => {
  const grant = host.admit(owner);
  return openStore(grant, brokerOf(host, grant.client));
});
const head = ["size", "put", "", "cold put", "get", "get + read", "copy", ""];
const line = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(13)).join("");
console.log(line(head));
for (const size of sizes) console.log(line(await row(host, writer, reader, size)));
console.log(`create + seal: ${shown(await smallest(host, writer))} µs`);
writer.close();
reader.close();
host.close();
