// What the value format costs for small arguments, rows of a table, and large arrays, beside node:v8's own serializer.
// Run: node --import tsx bench/serialize.ts

import { deserialize, serialize } from "node:v8";
import { createCodec, type DecodeHooks, type EncodeHooks } from "../runtime/serialize/index.ts";

const codec = createCodec();
const hooks: EncodeHooks & DecodeHooks = { ref: unused, handle: unused, code: unused };

function unused(): never {
  throw new Error("the benchmark's values hold no refs, handles or functions");
}

const cases: Readonly<Record<string, unknown>> = {
  "arguments [1, 'x', {a: 1}]": [1, "x", { a: 1 }],
  "arguments [1, 2]": [1, 2],
  "one record": [{ id: 17, name: "carrier", tags: ["a", "b"], at: 1.5, nested: { x: 1, y: null } }],
  "1,000 rows": Array.from({ length: 1000 }, (_, id) => ({ id, name: `row ${id}`, score: id * 1.1, ok: id % 2 === 0 })),
  "1,000 doubles in an array": Array.from({ length: 1000 }, (_, i) => i * 1.5),
  "8 MiB Float64Array": new Float64Array(1 << 20),
};

/** Best of five runs of about 100 ms each, in nanoseconds a call. */
function cost(call: () => unknown): number {
  let calls = 1;
  let best = Infinity;
  for (let run = 0; run < 7; run++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < calls; i++) call();
    const spent = Number(process.hrtime.bigint() - start);
    if (run >= 2) best = Math.min(best, spent / calls);
    else calls = Math.max(1, Math.round((calls * 1e8) / Math.max(spent, 1)));
  }
  return best;
}

function show(nanoseconds: number): string {
  const text = nanoseconds < 10_000 ? `${nanoseconds.toFixed(0)} ns` : `${(nanoseconds / 1000).toFixed(1)} µs`;
  return text.padStart(12);
}

console.log(`${"".padEnd(28)}${["encode", "decode", "v8 encode", "v8 decode"].map((name) => name.padStart(12)).join("")}`);
for (const [name, value] of Object.entries(cases)) {
  const target = Buffer.allocUnsafeSlow(64 * 1024);
  const isSmall = codec.encodeSmall(value, target, 0, hooks, true) >= 0;
  const block = codec.encode(value, hooks).toBytes();
  const space = new Uint8Array(block.length);
  const encode = isSmall
    ? () => codec.encodeSmall(value, target, 0, hooks, true)
    : () => codec.encode(value, hooks).writeTo(space);
  const theirs = serialize(value);
  const costs = [
    cost(encode),
    cost(() => codec.decode(block, hooks)),
    cost(() => serialize(value)),
    cost(() => deserialize(theirs)),
  ];
  console.log(`${name.padEnd(28)}${costs.map(show).join("")}`);
}
