// The shipper within one process: what vitest makes of modules, values that say how they travel, options and identity.

import * as acorn from "acorn";
import { Buffer } from "node:buffer";
import * as path from "node:path";
import { expect, test } from "vitest";
import { createShipper, type CodeShipper, type TravelHook } from "../../runtime/closure/index.ts";
import { CaptureError, TroupeError } from "../../runtime/errors.ts";
import { get, remote } from "../../sdk/index.ts";
import { helped, Named } from "./fixtures/vitest-helpers.ts";

/** The function as another process would make it: nothing of the first shipper is known to the second. */
async function shipped<F extends Function>(fn: F, from: CodeShipper = createShipper(), to = createShipper()): Promise<F> {
  const { id, bytes } = from.capture(fn);
  return (await to.revive(id, bytes)) as F;
}

function refused(fn: Function, shipper = createShipper()): CaptureError {
  try {
    shipper.capture(fn);
  } catch (error) {
    return error as CaptureError;
  }
  throw new Error("was captured");
}

test("imports of a module under vitest", async () => {
  const tree = (): string => acorn.parse("1", { ecmaVersion: 2020 }).type;
  const fn = (): unknown => [path.join("a", "b"), tree(), helped(2), typeof import.meta.url];
  expect((await shipped(fn))()).toEqual(["a/b", "Program", 21, "string"]);
  // The state of a local module was copied: here it is as it was.
  expect(helped(2)).toBe(21);
  expect((await shipped(() => new Named("n").shown()))()).toBe("n:12");
});

test("the runtime's own exports stay the runtime's own", async () => {
  const fn = await shipped(() => [get, remote, CaptureError, TroupeError]);
  expect(fn()).toEqual([get, remote, CaptureError, TroupeError]);
  expect(fn()[0]).toBe(get);
});

test("a remote function inside a function restores itself", async () => {
  const twice = remote((x: number) => x * 2);
  const options = remote(function named() {
    return 1;
  }, { maxRetries: 1 });
  const fn = await shipped(() => [twice, options] as const);
  const [first, second] = fn();
  expect(first.local(4)).toBe(8);
  expect(second.local()).toBe(1);
  const recursive: { local(n: number): number } = remote((n: number): number => n <= 0 ? 0 : 1 + recursive.local(n - 1));
  expect((await shipped(() => recursive.local(3)))()).toBe(3);
});

test("values that say how they travel, in both shapes", async () => {
  const REDUCE = Symbol.for("troupe.reduce");
  const one = { [REDUCE]: () => [(a: number) => ({ a }), [1]] };
  const two = { [REDUCE]: () => [(b: { c: number }) => ({ b: b.c }), [{ c: 2 }]] };
  expect((await shipped(() => [one, two, one]))()).toEqual([{ a: 1 }, { b: 2 }, { a: 1 }]);
});

test("refs and handles go through hooks", async () => {
  const hooks = (): TravelHook => ({
    encode: (value) => Buffer.from((value as { id: string }).id), decode: (bytes) => ({ again: Buffer.from(bytes).toString() }),
    identity: (value) => Buffer.from((value as { id: string }).id),
  });
  const ref = { id: "r1", [Symbol.for("troupe.ref")]: true };
  const handle = new Proxy({}, {
    has: (_, key) => key === Symbol.for("troupe.handle"),
    get: (_, key) => key === "id" ? "h1" : undefined,
  });
  const parts = { ref: hooks(), handle: hooks() };
  const fn = await shipped(() => [ref, handle], createShipper(parts), createShipper(parts));
  expect(fn()).toEqual([{ again: "r1" }, { again: "h1" }]);
  expect(refused(() => ref)).toMatchObject({ captureCode: "CAPTURE_HANDLE", variable: "ref" });
  expect(refused(() => handle).message).toContain("an actor handle");
});

test("a capture is taken once, and known by its id", async () => {
  const shipper = createShipper();
  const fn = (x: number): number => x + 1;
  const captured = shipper.capture(fn);
  expect(shipper.capture(fn)).toBe(captured);
  expect(shipper.known(captured.id)).toBe(fn);
  expect(await shipper.revive(captured.id, captured.bytes)).toBe(fn);
  expect(captured.kind).toBe("function");
  expect(captured.id).toMatch(/^[0-9a-f]{32}$/);
  expect(captured.label).toMatch(/^fn \(shipper\.test\.ts:\d+:\d+\)$/);
  const other = createShipper();
  const revived = await other.revive(captured.id, captured.bytes);
  expect(other.known(captured.id)).toBe(revived);
  expect(other.capture(revived)).toMatchObject({ id: captured.id });
  expect(other.known("0".repeat(32))).toBeUndefined();
});

test("functions without a name are known by what they were made for, or by their place", () => {
  const shipper = createShipper();
  const wrap = <F>(fn: F): F[] => [fn];
  const job = wrap(async (x: number) => x);
  const table = { entry: wrap(() => 1), plain: [() => 2] };
  let later: (() => number)[] = [];
  later = wrap(() => 3);
  const names = [job[0], table.entry[0], later[0], table.plain[0]].map((fn) => shipper.capture(fn));
  expect(names.map(({ name }) => name.replace(/\d+:\d+/, "1:1"))).toEqual(["job", "entry", "later", "shipper.test.ts:1:1"]);
  expect(names[0].label).toMatch(/^job \(shipper\.test\.ts:\d+:\d+\)$/);
  expect(names[3].label).toBe(names[3].name);
  const timer = setTimeout(() => {}, 0);
  clearTimeout(timer);
  const refusing = wrap(() => timer);
  const { message } = refused(refusing[0], shipper);
  expect(message).toMatch(/^can't send "refusing" to a worker: .*\ncaptured through: refusing -> timer\n/);
  expect(refused([() => timer][0], shipper).message).toMatch(/^can't send "shipper\.test\.ts:\d+:\d+" to a worker/);
});

test("a class is one class in all payloads, and its own on the way back", async () => {
  class Point {
    x = 1;
  }
  const [from, to] = [createShipper(), createShipper()];
  const make = await shipped(() => new Point(), from, to);
  expect(make()).toBeInstanceOf(Point);
});

test("code can travel on from where it was revived", async () => {
  let state = 0;
  const step = (): number => ++state;
  const make = (n: number) => (): unknown => [n, step(), path.basename("/a/b"), import.meta.url.length > 0];
  const first = await shipped(make);
  expect((await shipped(first(7)))()).toEqual([7, 1, "b", true]);
});

test("modes: a function by reference only, or by value", async () => {
  const shipper = createShipper();
  expect(() => shipper.capture(() => 1, { mode: "reference" })).toThrow(/no module that a worker can import exports it/);
  const byReference = shipper.capture(acorn.parse, { mode: "reference" });
  expect(byReference.bytes.length).toBeLessThan(400);
  expect(await createShipper().revive(byReference.id, byReference.bytes)).toBe(acorn.parse);
});

test("what can't be revived says which module and export", async () => {
  const { encodePayload } = await import("../../runtime/closure/payload.ts");
  const payload = (specifier: string, name: string) => encodePayload({
    version: 1, root: 0, label: "job", nodes: [{ k: "import", from: import.meta.url, specifier, path: [name] }],
  });
  const gone = payload("no-such-package", "f");
  const shipper = createShipper();
  const failing = shipper.revive(gone.id, gone.bytes);
  await expect(failing).rejects.toThrow('job needs module "no-such-package" (for its export "f"), which can\'t be loaded here');
  await expect(shipper.revive(gone.id, gone.bytes)).rejects.toThrow("no-such-package");
  const renamed = payload("node:fs", "noSuchExport");
  await expect(createShipper().revive(renamed.id, renamed.bytes)).rejects.toThrow('needs "noSuchExport" of module "node:fs"');
});

test("a warm capture is quick, and a first one is ready after warmUp", () => {
  const shipper = createShipper();
  shipper.warmUp();
  const constant = 1;
  const times = Array.from({ length: 200 }, (_, at) => {
    const fn = (): number => constant + at;
    const start = performance.now();
    shipper.capture(fn);
    return performance.now() - start;
  }).sort((a, b) => a - b);
  // Generous: two other test files may be running.
  expect(times[100]).toBeLessThan(2);
});
