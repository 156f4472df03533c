// A private cluster lives and dies with its driver, whatever ends it, and leaves nothing behind.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import {
  AlreadyInitializedError, get, init, InvalidArgumentError, isInitialized, put, remote, run, shutdown,
} from "troupe";
import { until } from "../until.ts";

const SDK = fileURLToPath(new URL("../../dist/sdk/index.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "driver-"));

/** A driver in a process of its own; its cluster's processes carry `mark` in their environment. */
function driver(
  body: string,
  mark: string,
): { child: ChildProcess; line: (text: string) => Promise<string>; exit: Promise<number | null> } {
  const file = join(folder, `${mark}.mjs`);
  writeFileSync(
    file,
    `import * as troupe from ${JSON.stringify(SDK)};\nconst { init, remote, get, put, run, shutdown } = troupe;\n${body}\n`,
  );
  const child = spawn(process.execPath, [file], {
    // A folder of its own for its sockets: other tests run at the same time.
    env: { ...process.env, MARK: mark, TMPDIR: folderOf(mark) },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let seen = "";
  const waiting: { text: string; found: (line: string) => void }[] = [];
  child.stdout.on("data", (chunk: Buffer) => {
    seen += String(chunk);
    for (const { text, found } of waiting) {
      const line = seen.split("\n").find((one) => one.includes(text));
      if (line !== undefined) found(line);
    }
  });
  const line = (text: string) =>
    new Promise<string>((found) => {
      const known = seen.split("\n").find((one) => one.includes(text));
      if (known !== undefined) found(known);
      else waiting.push({ text, found });
    });
  return { child, line, exit: new Promise((resolve) => child.once("exit", (code) => resolve(code))) };
}

function marked(mark: string): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`MARK=${mark}`);
    } catch {
      return false;
    }
  });
}

function folderOf(mark: string): string {
  const own = join(folder, mark);
  mkdirSync(own, { recursive: true });
  return own;
}

/** Everything in the folder of a driver's sockets, but for the folder of its user. */
function remains(mark: string): string[] {
  return readdirSync(folderOf(mark), { recursive: true }).map(String).filter((name) => !/^troupe-\d+$/.test(name));
}

async function nothingLeft(mark: string): Promise<void> {
  await until(() => marked(mark).length === 0);
  await until(() => remains(mark).length === 0);
}

const BUSY = `
await init({ numCpus: 2, objectStoreMemory: "64MiB" });
const block = remote(() => { for (;;) {} });
const one = block.remote(), two = block.remote();
await new Promise((resolve) => setTimeout(resolve, 400));
console.log("busy");
await get([one, two]);
`;

describe("the end of a driver", () => {
  afterEach(() => shutdown());

  test("by shutdown leaves nothing", async () => {
    const { exit } = driver(`await init({ numCpus: 1 }); await run(remote(() => 1)); await shutdown();`, "orderly");
    expect(await exit).toBe(0);
    await nothingLeft("orderly");
  });

  test("by the end of its program leaves nothing, and the cluster does not keep it alive", async () => {
    const { exit } = driver(`await init({ numCpus: 1 }); await run(remote(() => 1)); console.log("done");`, "falls-off");
    expect(await exit).toBe(0);
    await nothingLeft("falls-off");
  });

  test("by kill -9 leaves nothing, also when its tasks block their loops", async () => {
    for (let round = 0; round < 3; round += 1) {
      const mark = `killed-${round}`;
      const { child, line } = driver(BUSY, mark);
      await line("busy");
      // On a busy machine workers take a while to come.
      const come = expect.poll(() => marked(mark).length).toBeGreaterThanOrEqual(4);
      await come.finally(() => child.kill("SIGKILL"));
      await nothingLeft(mark);
    }
  });

  test("an open get keeps the program alive until its result", async () => {
    const body = `await init({ numCpus: 1 });
      const ref = remote(() => new Promise((resolve) => setTimeout(() => resolve("late"), 300))).remote();
      console.log("got " + (await get(ref)));`;
    const { line, exit } = driver(body, "awaits");
    expect(await line("got")).toBe("got late");
    expect(await exit).toBe(0);
  });
});

describe("the death of the host", () => {
  test("ends the workers and fails what is pending at the driver", async () => {
    const body = `const cluster = await init({ numCpus: 1 });
      const host = await run(remote(() => process.ppid));
      const ref = remote(() => { for (;;) {} }).remote();
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(host, "SIGKILL");
      await get(ref).catch((error) => console.log("failed " + error.code));`;
    const { line, exit } = driver(body, "host-dies");
    expect(await line("failed")).toMatch(/failed (CONNECTION|NODE_DIED|WORKER_CRASHED)/);
    expect(await exit).toBe(0);
    await nothingLeft("host-dies");
  });
});

describe("init and shutdown", () => {
  afterEach(() => shutdown());

  test("a second init is refused unless told otherwise; after shutdown there may be another", async () => {
    const cluster = await init({ numCpus: 1 });
    expect(isInitialized()).toBe(true);
    await expect(init()).rejects.toThrow(AlreadyInitializedError);
    expect(await init({ ignoreReinit: true })).toBe(cluster);
    const ref = await put(1);
    await shutdown();
    expect(isInitialized()).toBe(false);
    expect(ref.id).toBeTypeOf("string");
    await init({ numCpus: 1 });
    expect(await run(remote(() => 2))).toBe(2);
  });

  test("pending work fails when the session ends, and its refs are dead", async () => {
    await init({ numCpus: 1 });
    const ref = remote(() => new Promise(() => {})).remote();
    const waiting = get(ref);
    waiting.catch(() => {});
    await shutdown();
    await expect(waiting).rejects.toThrow(/shut down|ended/);
    await expect(get(ref, { timeoutMs: 100 })).rejects.toThrow(/shut down|ended/);
  });

  test("wrong options are refused at the door", async () => {
    await expect(init({ cpus: 1 } as never)).rejects.toThrow(/option cpus is not known/);
    await expect(init({ numCpus: -1 })).rejects.toThrow(InvalidArgumentError);
    await expect(init({ objectStoreMemory: "lots" })).rejects.toThrow(/objectStoreMemory/);
    await expect(init({ address: "127.0.0.1:1", numCpus: 2, token: "x" })).rejects.toThrow(/numCpus/);
    expect(isInitialized()).toBe(false);
  });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));
