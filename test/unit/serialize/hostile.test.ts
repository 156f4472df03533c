import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { SerializationError } from "../../../runtime/errors.ts";
import { UserError, codec, hooks } from "./fixtures.ts";

const RUNS = 1_000_000;
/** Another seed for other inputs: TROUPE_FUZZ_SEED. It is printed with a failure. */
const SEED = Number(process.env.TROUPE_FUZZ_SEED ?? 20260);
const HEAP_MIB = 64;
const GROWTH_MAX_KIB = 128 * 1024;

test(`${RUNS} mutated values give a value or a typed error, in a heap of ${HEAP_MIB} MiB`, () => {
  const program = fileURLToPath(new URL("./hostile-run.fixture.ts", import.meta.url));
  const node = [`--max-old-space-size=${HEAP_MIB}`, "--import", "tsx", program, String(RUNS), String(SEED)];
  const output = execFileSync(process.execPath, node, { encoding: "utf8", env: { ...process.env, NODE_OPTIONS: "" } });
  const { values, refused, isUnpolluted, grownKiB } = JSON.parse(output) as Record<string, number>;
  expect(values + refused).toBe(RUNS);
  expect(refused).toBeGreaterThan(RUNS / 2);
  expect(isUnpolluted).toBe(true);
  expect(grownKiB).toBeLessThan(GROWTH_MAX_KIB);
}, 600_000);

test("lengths that go past the bytes are refused before anything is made", () => {
  const claims = [
    "c100 d2 ffffffffffffff0f",
    "c100 d2 ffffff7f",
    "c100 ca ffffffff0f 61",
    "c100 cb ffffff7f",
    "c100 d9 ffffff7f",
    "c100 da ffffff7f",
    "c100 e4 ffffff7f",
    "c100 e5 00 ffffff7f",
    "c100 c9 00 ffffff7f",
    "c100 d5 ffffff7f",
    "c100 d7 ffffff7f",
    "c100 d0 05",
    "c100 d6 00",
    "c101 0000 ffffffff 000000000000f03f",
    "c101",
    "c1",
    "",
    "00",
    "c100",
    "c1000000",
    "c100 e6 08 00 08 0000000000000000 00 7f",
    "c100 f2 02 ffff",
    "c100 dc c0 f2 02 0000 00",
    "c100 dd 07",
    "c100 c4",
    "c102 00",
  ];
  for (const claim of claims) {
    expect(() => codec.decode(Buffer.from(claim.replaceAll(" ", ""), "hex"), hooks), claim).toThrow(SerializationError);
  }
});

test("a length alone makes no room", () => {
  const one = codec.encode(Object.assign([], { x: 1 }), hooks).toBytes();
  const claim = Buffer.concat([
    Buffer.from(one.subarray(0, 3)),
    Buffer.from([0x80, 0x80, 0x80, 0x0e]),
    Buffer.from(one.subarray(4)),
  ]);
  const list = Buffer.concat([
    Buffer.from([0xc1, 0, 0xd2, 0xe8, 0x07]),
    ...Array.from({ length: 1000 }, () => claim.subarray(2)),
  ]);
  const before = process.memoryUsage().rss;
  expect((codec.decode(list, hooks) as unknown[][])[999].length).toBe(14 * 2 ** 21);
  expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
});

test("bytes that nest without end are refused, not a crash", () => {
  for (const tag of [0xa1, 0xd1, 0xf4, 0xdc]) {
    expect(() => codec.decode(Buffer.concat([Buffer.from([0xc1, 0]), Buffer.alloc(1_000_000, tag)]), hooks)).toThrow(
      SerializationError,
    );
  }
  const pairs = Buffer.alloc(1_000_000);
  for (let i = 0; i < pairs.length; i += 2) pairs.set([0xd1, 0xa1], i);
  expect(() => codec.decode(Buffer.concat([Buffer.from([0xc1, 0]), pairs]), hooks)).toThrow(SerializationError);
});

test("no object that a hook returned gets another prototype or properties", () => {
  const code = Buffer.from(codec.encode([UserError], hooks).toBytes());
  const decorated = Buffer.concat([Buffer.from([0xc1, 0, 0xdc, 0xc1]), code.subarray(3), Buffer.from([1, 0x81, 0x78, 7, 1])]);
  expect(() => codec.decode(decorated, hooks)).toThrow(SerializationError);
  expect(Object.hasOwn(UserError, "x")).toBe(false);
});
