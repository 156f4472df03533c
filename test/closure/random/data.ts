// Values that random programs capture, of every kind that travels.

import type { Place, Value, Writer } from "./writer.ts";

interface Data {
  readonly text: string;
  readonly reads: readonly string[];
  readonly writes?: readonly string[];
}
type Kind = (name: string, part: () => string, number: () => string) => Data;

const index = "[Math.abs($ | 0) % 2]";

const KINDS: readonly Kind[] = [
  (x, _, n) => ({ text: n(), reads: [x] }),
  (x) => ({ text: '"a\\u00e9\\ud83d\\ude00b"', reads: [`${x}.length`, `${x}.codePointAt(2)`, `\`\${${x}}\${$}\`.length`] }),
  (x) => ({ text: "2n ** 70n + 5n", reads: [`Number(${x} % 97n)`] }),
  (x) => ({ text: "undefined", reads: [`(${x} === undefined ? 1 : 2)`, `(${x} ?? $)`] }),
  (x) => ({ text: "null", reads: [`(${x} === null ? 1 : 2)`, `(${x}?.n ?? $)`] }),
  (x) => ({ text: "[NaN, -0, Infinity]", reads: [`${x}.findIndex((v) => Object.is(v, -0))`] }),
  (x, _, n) => ({
    text: `[${n()}, 2, 3]`, reads: [`${x}${index}`, `${x}.reduce((a, b) => a + b, 0)`, `Math.max(...${x})`],
    writes: [`${x}${index} += $;`, `${x}.push($); ${x}.shift();`, `[${x}[0], ${x}[1]] = [${x}[1], ${x}[0]];`],
  }),
  (x, p) => ({
    text: `[${p()}, , ${p()}]`, reads: [`${x}.length`, `(1 in ${x} ? 1 : 2)`, `typeof ${x}[0] === "object" ? 1 : 2`],
  }),
  (x, p, n) => ({
    text: `{ n: ${n()}, in: { list: [1, 2, ${p()}] }, get twice() { return this.n * 2; }, set twice(v) { this.n = v / 2; } }`,
    reads: [`${x}.n`, `${x}.in.list.length`, `${x}.twice`, `${x}.in.list?.[1]`],
    writes: [`${x}.n = $;`, `${x}.twice = $;`, `${x}.n++;`],
  }),
  (x, p) => ({
    text: `Object.freeze({ n: 3, p: ${p()} })`, reads: [`${x}.n`, `(Object.isFrozen(${x}) ? 1 : 2)`],
  }),
  (x, p) => ({
    text: `new Map([["a", 1], [${p()}, 2], ["p", ${p()}]])`, reads: [`${x}.get("a")`, `${x}.size`, `[...${x}.keys()].length`],
    writes: [`${x}.set("a", $);`, `${x}.set($ % 3, 1);`],
  }),
  (x, p) => ({
    text: `new Set([1, "two", ${p()}])`, reads: [`${x}.size`, `(${x}.has($) ? 1 : 2)`],
    writes: [`${x}.add($ % 3);`, `${x}.delete(1);`],
  }),
  (x, _, n) => ({
    text: `Float64Array.of(${n()}, 2.5, -0)`, reads: [`${x}${index}`, `${x}.length`, `${x}.indexOf(2.5)`],
    writes: [`${x}${index} = $;`],
  }),
  (x) => ({
    text: "new Uint8Array([1, 2, 3, 4]).subarray(1, 3)", reads: [`${x}.length`, `${x}${index}`], writes: [`${x}[0]++;`],
  }),
  (x) => ({
    text: '((memory) => ({ bytes: new Uint8Array(memory), view: new DataView(memory, 2) }))(new ArrayBuffer(8))',
    reads: [`${x}.bytes[2]`, `${x}.view.getUint8(0)`, `(${x}.bytes.buffer === ${x}.view.buffer ? 1 : 2)`],
    writes: [`${x}.view.setUint8(0, $);`],
  }),
  (x) => ({ text: 'Buffer.from("bytes")', reads: [`${x}.length`, `${x}.toString("hex").length`, `${x}${index}`] }),
  (x) => ({ text: "BigInt64Array.of(1n, -2n)", reads: [`Number(${x}[1])`] }),
  (x) => ({ text: "new Date(86_400_000)", reads: [`${x}.getTime()`, `${x}.toISOString().length`], writes: [`${x}.setTime(5);`] }),
  (x) => ({
    text: "/(?<d>\\d+)/g", reads: [`"a12b3".replace(${x}, "").length`, `${x}.flags.length`, `[..."1a2".matchAll(${x})].length`],
  }),
  (x, p) => ({
    text: `Object.assign(Object.create(null), { n: 4, p: ${p()} })`,
    reads: [`${x}.n`, `(Object.getPrototypeOf(${x}) === null ? 1 : 2)`],
  }),
  (x, p) => ({
    text: `((o) => Object.assign(o, { self: o }))({ n: 6, p: ${p()} })`,
    reads: [`${x}.self.self.n`, `(${x}.self === ${x} ? 1 : 2)`],
    writes: [`${x}.self.n = $;`],
  }),
  (x, p) => ({
    text: `((s) => ({ one: { s }, other: { s } }))({ p: ${p()} })`, reads: [`(${x}.one.s === ${x}.other.s ? 1 : 2)`],
  }),
  (x) => ({ text: '[Symbol("mine"), Symbol.for("theirs"), Symbol.iterator]', reads: [
    `({ [${x}[0]]: 3 })[${x}[0]]`, `(${x}[1] === Symbol.for("theirs") ? 1 : 2)`, `(${x}[2] in [] ? 1 : 2)`,
  ] }),
  (x) => ({
    text: `Object.assign(new RangeError("out", { cause: new TypeError("in") }), { extra: 4 })`,
    reads: [`${x}.extra`, `(${x} instanceof RangeError ? 1 : 2)`, `${x}.cause.message.length`],
  }),
  (x) => ({
    text: 'new URL("http://example.test/x?y=12")', reads: [`Number(${x}.searchParams.get("y"))`, `${x}.pathname.length`],
  }),
  (x, p) => ({
    text: `((key) => ({ key, map: new WeakMap([[key, ${p()}]]), set: new WeakSet([key]) }))({})`,
    reads: [`(${x}.map.has(${x}.key) ? 1 : 2)`, `(${x}.set.has({}) ? 1 : 2)`],
  }),
  (x) => ({
    text: `Object.defineProperty({ a: 1 }, "hidden", { value: 7, enumerable: false })`,
    reads: [`${x}.hidden`, `Object.keys(${x}).length`],
  }),
  (x) => ({ text: 'Object.assign([1, 2], { note: 5 })', reads: [`${x}.note`, `${x}.length`] }),
  (x) => ({
    text: "[Object(1n), Object(2), Object(true)]",
    reads: [`Number(${x}[0])`, `${x}[1] + 1`, `typeof ${x}[2] === "object" ? 1 : 2`],
  }),
  (x) => ({ text: "{ [Symbol.toPrimitive]: () => 9 }", reads: [`+${x}`, `(${x} - 1)`] }),
  (x) => ({ text: "Math.hypot", reads: [`Math.round(${x}(3, 4))`] }),
  (x) => ({ text: "Array.prototype.slice", reads: [`${x}.call([1, 2, 3], 1).length`] }),
  (x) => ({ text: "[path.join, inspect, EventEmitter, parse]", reads: [
    `${x}[0]("a", "b").length`, `${x}[1]({ n: 1 }).length`, `new ${x}[2]().listenerCount("x")`,
    `${x}[3]("1", { ecmaVersion: 2020 }).end`,
  ] }),
];

/** The declaration of a constant, or of a variable that is changed. */
export function data(w: Writer, place: Place): string {
  const name = w.fresh("d");
  if (w.chance(0.3)) {
    const text = `let ${name} = ${w.number({ ...place, canAwait: false }, 1)};`;
    w.declare(place, name, { reads: [name, `-${name}`], writes: WRITES.map((one) => one.replaceAll("X", name)) });
    return text;
  }
  const kind = w.random.pick(KINDS);
  const { text, reads, writes } = kind(name, () => w.part(place), () => w.number({ ...place, canAwait: false }, 1));
  const made: Partial<Value> = { reads: reads.map((read) => `(${read})`), writes: writes ?? [], isData: true };
  w.declare(place, name, made);
  return `const ${name} = ${text};`;
}

const WRITES = [
    "X = ($ | 0) % 997;", "X++;", "--X;", "X += $; X |= 0; X %= 997;", "[X] = [$ | 0];", "({ n: X = 3 } = { n: $ | 0 });",
  "X ??= $;",
  "X ||= 1;", "({ X } = { X: 4 });", "for (X of [1, 2]) { X *= 2; }",
];
