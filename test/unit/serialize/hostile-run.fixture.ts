// Decodes mutated values in a process with a small heap; prints what became of them as JSON. Run by hostile.test.ts.

import { Bool, Null, Table, makeVector, tableFromArrays, vectorFromArray } from "apache-arrow";
import { TroupeError } from "../../../runtime/errors.ts";
import { decodeThrown, encodeThrown, preloadArrow } from "../../../runtime/serialize/index.ts";
import { UserError, codec, everything, hooks } from "./fixtures.ts";
import { mutated, random } from "./mutation.ts";

const [runs, seed] = process.argv.slice(2).map(Number);
const TASK = { taskName: "t", taskId: "1", workerPid: 1, nodeId: "n" };
/** One in so many is what user code threw. */
const THROWN_EVERY = 20;

/** Bytes and who reads them. */
interface Sample {
  readonly bytes: Buffer;
  readonly decode: (bytes: Uint8Array) => unknown;
}

function samples(values: readonly unknown[]): Sample[] {
  return values.map((value) => ({
    bytes: Buffer.from(codec.encode(value, hooks).toBytes()), decode: (bytes) => codec.decode(bytes, hooks),
  }));
}

function arrowValues(): unknown[] {
  const nested = vectorFromArray([{ list: [1, 2], flag: true }, { list: [], flag: null }]);
  const dates = vectorFromArray([new Date(0), null]);
  const nulls = vectorFromArray([null, null, null], new Null());
  const bits = new Table({ bits: vectorFromArray([true, false, null], new Bool()), nulls });
  const batches = tableFromArrays({ a: [1, 2], s: ["x", "y"] }).concat(tableFromArrays({ a: [3], s: ["x"] }));
  return [tableFromArrays({ a: [1, 2, 3] }), [tableFromArrays({ s: ["x", null] }), 1], nested, dates, bits, batches,
    makeVector(new BigInt64Array(4))];
}

function thrownSamples(): Sample[] {
  const errors = [new UserError("u"), "text", new DOMException("d", "AbortError"), new AggregateError([new Error("one")])];
  return errors.map((error) => ({
    bytes: Buffer.from(encodeThrown(error, hooks, TASK)), decode: (bytes) => decodeThrown(bytes, hooks),
  }));
}

await preloadArrow();
// Stacks are most of what a refusal costs, and nobody reads these.
Error.stackTraceLimit = 0;
const small = everything().filter((value) => !(ArrayBuffer.isView(value) && value.byteLength > 4096));
const values = samples([...everything(), small, ...arrowValues()]);
const thrown = thrownSamples();
const next = random(seed);
const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)];
const prototypes = JSON.stringify(Object.getOwnPropertyNames(Object.prototype));
const before = process.resourceUsage().maxRSS;
const outcomes = { values: 0, refused: 0 };
for (let run = 0; run < runs; run++) {
  const { bytes, decode } = pick(run % THROWN_EVERY === 0 ? thrown : values);
  const hostile = mutated(bytes, pick(values).bytes, next);
  try {
    decode(hostile);
    outcomes.values++;
  } catch (error) {
    if (!(error instanceof TroupeError)) {
      throw new Error(`seed ${seed}, run ${run}: ${hostile.toString("hex").slice(0, 400)}`, { cause: error });
    }
    outcomes.refused++;
  }
}
const isUnpolluted = JSON.stringify(Object.getOwnPropertyNames(Object.prototype)) === prototypes;
console.log(JSON.stringify({ ...outcomes, isUnpolluted, grownKiB: process.resourceUsage().maxRSS - before }));
