// Captured data above 64 KiB is kept apart from the code: by content, with its kind, and what shared a buffer shares it again.

import { Buffer } from "node:buffer";
import { tableFromArrays } from "apache-arrow";
import { afterEach, expect, test, vi } from "vitest";
import { contentHash, createShipper, type DataHook } from "../../runtime/closure/index.ts";
import { CaptureError } from "../../runtime/errors.ts";

const LARGE = 70_000;

afterEach(() => {
  vi.restoreAllMocks();
});

/** A shipper on each side, and the data between them. */
function sides() {
  const kept = new Map<string, Uint8Array>();
  const data: DataHook = {
    keep: (bytes) => {
      const id = contentHash(bytes);
      kept.set(id, Uint8Array.from(bytes));
      return id;
    },
    load: async (id) => Uint8Array.from(kept.get(id) as Uint8Array).buffer,
  };
  const from = createShipper({ data });
  const to = createShipper({ data });
  const ship = async <F extends Function>(fn: F) => {
    const captured = from.capture(fn);
    return { captured, fn: (await to.revive(captured.id, captured.bytes)) as F };
  };
  return { kept, from, to, ship };
}

test("typed arrays, buffers and Node's Buffers, each of its kind", async () => {
  const { kept, ship } = sides();
  const floats = new Float64Array(LARGE / 8 + 1).fill(1.5);
  const view = new DataView(new ArrayBuffer(LARGE));
  view.setInt32(8, 77);
  const whole = new ArrayBuffer(LARGE);
  const node = Buffer.alloc(LARGE, 7);
  const part = new Uint16Array(new ArrayBuffer(LARGE * 4), 16, LARGE);
  part[0] = 513;
  const { captured, fn } = await ship(() => ({ floats, view, whole, node, part }));
  const found = fn();
  expect(found.floats).toEqual(floats);
  expect(found.view.getInt32(8)).toBe(77);
  expect(found.whole).toBeInstanceOf(ArrayBuffer);
  expect(Buffer.isBuffer(found.node) && found.node.equals(node)).toBe(true);
  expect(found.part).toBeInstanceOf(Uint16Array);
  expect([found.part.length, found.part[0], found.part.buffer.byteLength]).toEqual([LARGE, 513, LARGE * 2]);
  expect(captured.bytes.length).toBeLessThan(2000);
  expect([...captured.needs].sort()).toEqual([...kept.keys()].sort());
});

test("small data stays in the code, and all of it without a place to keep it", async () => {
  const { kept, ship } = sides();
  const small = new Uint8Array(64 * 1024).fill(3);
  expect((await ship(() => small)).fn()).toEqual(small);
  expect(kept.size).toBe(0);
  const large = new Uint8Array(LARGE).fill(4);
  const alone = createShipper().capture(() => large);
  expect(alone.needs).toEqual([]);
  expect(alone.bytes.length).toBeGreaterThan(LARGE);
});

test("views of one buffer are views of one buffer", async () => {
  const { kept, ship } = sides();
  const buffer = new ArrayBuffer(LARGE * 2);
  const head = new Uint8Array(buffer, 0, 8);
  const rest = new Float64Array(buffer, 8, 1000);
  const { fn } = await ship(() => ({ head, rest }));
  const found = fn();
  expect(found.head.buffer).toBe(found.rest.buffer);
  expect(kept.size).toBe(1);
});

test("equal data is one item; what is written to one copy shows in no other", async () => {
  const { kept, ship } = sides();
  const one = new Uint8Array(LARGE);
  const other = new Uint8Array(LARGE);
  const { captured, fn } = await ship(() => ({ one, other }));
  expect(kept.size).toBe(1);
  expect(captured.needs).toHaveLength(1);
  const found = fn();
  found.one[0] = 9;
  expect(found.other[0]).toBe(0);
});

test("it is a snapshot, and code that travels on needs the same", async () => {
  const { to, ship } = sides();
  const data = new Uint8Array(LARGE).fill(1);
  const { captured, fn } = await ship(() => data);
  data.fill(2);
  expect(fn()[0]).toBe(1);
  expect(to.capture(fn)).toMatchObject({ id: captured.id, needs: captured.needs });
});

test("an Arrow table", async () => {
  const { kept, ship } = sides();
  const table = tableFromArrays({ x: Float64Array.from({ length: 20_000 }, (_, at) => at) });
  const { captured, fn } = await ship(() => table);
  expect(fn().getChild("x")?.get(12_345)).toBe(12_345);
  expect(kept.size).toBeGreaterThan(0);
  expect(captured.bytes.length).toBeLessThan(64 * 1024);
});

test("a function with much data says so once, and names the variable and what to do", () => {
  const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const { from } = sides();
  const little = new Uint8Array(300_000);
  const lots = { inside: new Uint8Array(2 << 20) };
  const train = (): unknown => [little, lots];
  from.capture(train);
  from.capture(train);
  from.changed(train);
  expect(warned).toHaveBeenCalledTimes(1);
  const [text, about] = warned.mock.calls[0];
  expect(text).toMatch(/^train \(large-data\.test\.ts:\d+:\d+\) takes 2\.3 MiB .* 2\.0 MiB of it in "lots": put\(\) the data/);
  expect(about).toMatchObject({ code: "TROUPE_LARGE_CAPTURE" });
  from.capture(() => little);
  expect(warned).toHaveBeenCalledTimes(1);
});

test("above 64 MiB it is an error with a code", () => {
  const { from, kept } = sides();
  const parts = [new Uint8Array(40 << 20), new Uint8Array(30 << 20)];
  let error: unknown;
  try {
    from.capture(() => parts);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(CaptureError);
  expect(error).toMatchObject({ captureCode: "CAPTURE_TOO_LARGE", path: expect.arrayContaining(["parts"]) });
  expect(kept.size).toBe(0);
});
