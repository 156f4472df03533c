// Rows about code and values: what it costs to capture a function and make it again, small arguments beside msgpackr, and how
// often the bytes of an Arrow table are copied.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Table, tableFromArrays } from "apache-arrow";
import { pack, unpack } from "msgpackr";
import { get, list, put } from "troupe";
import { createCodec, type DecodeHooks, type EncodeHooks } from "../runtime/serialize/index.ts";
import type { CaptureCosts } from "./capture-program.ts";
import type { Row } from "./rows.ts";
import { median } from "./timing.ts";

const PROCESSES = 5;
/** 100 MB in two columns. */
const ARROW_ROWS = 6_250_000;
const ROUNDS = 15;
const CALLS = 20_000;
const TARGET_BYTES = 64 * 1024;

const SMALL_ARGUMENTS: readonly (readonly unknown[])[] = [
  [1, 2],
  [1, "x", { a: 1 }],
  ["the quick brown fox", "jumps", "over the lazy dog, which is rather long for a text"],
  [1.5, 2.25, -3.75, 1e300],
  [42, { retries: 3, timeout: 1000, verbose: true, label: "batch-17" }],
  [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]],
  [{ id: 17, name: "carrier", tags: ["a", "b"], at: 1.5, nested: { x: 1, y: null } }],
];

async function captureCosts(): Promise<CaptureCosts[]> {
  const program = fileURLToPath(new URL("capture-program.js", import.meta.url));
  const costs: CaptureCosts[] = [];
  for (let i = 0; i < PROCESSES; i += 1) {
    const { stdout } = await promisify(execFile)(process.execPath, [program]);
    costs.push(JSON.parse(stdout) as CaptureCosts);
  }
  return costs;
}

/** Times of ours over times of theirs, turn by turn, so that what else the machine does meets both. */
function ratios(ours: () => void, theirs: () => void): number[] {
  const found: number[] = [];
  for (let round = -2; round < ROUNDS; round += 1) {
    const [mine, other] = [ours, theirs].map((calls) => {
      const started = performance.now();
      for (let i = 0; i < CALLS; i += 1) calls();
      return performance.now() - started;
    });
    if (round >= 0) found.push(mine / other);
  }
  return found;
}

const codec = createCodec();
const hooks: EncodeHooks & DecodeHooks = { ref: unused, handle: unused, code: unused };

function unused(): never {
  throw new Error("the benchmark's arguments hold no refs, handles or functions");
}

function encodeRatios(): number[] {
  const target = Buffer.allocUnsafeSlow(TARGET_BYTES);
  return ratios(
    () => {
      for (const list of SMALL_ARGUMENTS) codec.encodeSmall(list, target, 0, hooks, true);
    },
    () => {
      for (const list of SMALL_ARGUMENTS) pack(list);
    },
  );
}

function decodeRatios(): number[] {
  const ours = SMALL_ARGUMENTS.map((list) => Buffer.from(codec.encode(list, hooks).toBytes()));
  const theirs = SMALL_ARGUMENTS.map((list) => Buffer.from(pack(list)));
  return ratios(
    () => {
      for (const block of ours) codec.decode(block.subarray(), hooks);
    },
    () => {
      for (const bytes of theirs) unpack(bytes.subarray());
    },
  );
}

// -- Arrow ---------------------------------------------------------------------------------------------------------------------

function arrowTable(): Table {
  return tableFromArrays({
    x: Float64Array.from({ length: ARROW_ROWS }, (_, i) => i), y: Float64Array.from({ length: ARROW_ROWS }, (_, i) => i / 3),
  });
}

/** The memory of a table's columns. */
function valuesOf(table: Table): Uint8Array[] {
  return table.batches.flatMap(({ data }) => data.children).map(({ values }: { values: ArrayBufferView }) => (
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  ));
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

async function madeBytes(): Promise<number> {
  return (await list.stores()).reduce((sum, store) => sum + store.madeBytes, 0);
}

/** What the store reserved for it and what this process took besides, by its size. */
async function copiedIn(): Promise<number> {
  const table = arrowTable();
  const madeBefore = await madeBytes();
  const { arrayBuffers } = process.memoryUsage();
  const ref = await put(table);
  const beside = Math.max(0, process.memoryUsage().arrayBuffers - arrayBuffers);
  const copied = (await madeBytes()) - madeBefore + beside;
  ref.release();
  return copied / bytesOf(valuesOf(table));
}

/** Two reads of one object have the same memory if it is the store's: what is written to one is seen in the other. */
async function copiedOut(): Promise<number> {
  const ref = await put(arrowTable());
  const [written, seen] = [valuesOf(await get(ref)), valuesOf(await get(ref))];
  const own = written.filter((bytes, i) => {
    const last = bytes.length - 1;
    bytes[0] ^= 0xff;
    bytes[last] ^= 0xff;
    return bytes[0] !== seen[i][0] || bytes[last] !== seen[i][last];
  });
  return bytesOf(own) / bytesOf(written);
}

function row(name: string, unit: string, measure: Row["measure"], alone = false): Row {
  return { name, unit, better: "lower", measure, alone };
}

export const valueRows: readonly Row[] = [
  row("first_capture_ms", "ms", async () => (await captureCosts()).map(({ first }) => first), true),
  row("warm_capture_ms", "ms", async () => (await captureCosts()).map(({ warm }) => median(warm)), true),
  row("revival_ms", "ms", async () => (await captureCosts()).map(({ revivals }) => median(revivals)), true),
  row("first_revival_ms", "ms", async () => (await captureCosts()).map(({ revivals }) => revivals[0]), true),
  row("small_arguments_encode_ratio", "× msgpackr", async () => encodeRatios(), true),
  row("small_arguments_decode_ratio", "× msgpackr", async () => decodeRatios(), true),
  row("arrow_100mb_copied_in", "× its bytes", async () => [await copiedIn()]),
  row("arrow_100mb_copied_out", "× its bytes", async () => [await copiedOut()]),
];
