// Secrets on a real cluster: in nothing that is told or kept, whichever worker read them.

import { inspect } from "node:util";
import { get, init, kv, remote, shutdown } from "troupe";
import { connection, ctx, dag, defineStore, getRun, setConnection, sh, store, task } from "troupe/dag";
import { S3Server } from "../dag/s3-server.ts";
import { afterAll, beforeAll, expect, test, vi } from "vitest";

const password = "corr3ct-h0rse";
beforeAll(() => init({ numCpus: 3 }));
afterAll(() => shutdown());

test("what one worker reads is hidden in what another tells, and in the run's journal", async () => {
  await setConnection("vault", `https://me:${password}@vault.example/x?api_key=k-42424242`);
  const read = task("read", async () => {
    const { password: found, extra } = await connection("vault");
    return { found, key: extra.api_key };
  });
  const tell = task("tell", ({ found, key }: { found: string; key: string }) => {
    ctx().logger.info(`it is ${found}`);
    ctx().metric(`with ${key}`, 1);
    throw new Error(`${found} and ${key}`);
  });
  const run = await dag("secrets", () => {
    const values = read();
    const word = task("word", ({ found }: { found: string }) => found)(values);
    sh`echo ${word} >&2; exit 1`;
    return tell(values);
  }).run();
  const error = (await run.result().catch((reason: unknown) => reason)) as Error;
  const events: unknown[] = [];
  for await (const event of run.events()) events.push(event);
  const kept: unknown[] = [];
  for await (const [key, value] of kv.scan("dag/")) kept.push([key, text(value)]);
  const told = text([events, await run.tasks(), run.why("tell"), String(error), error.stack, String(error.cause), kept]);
  expect(told).toContain("it is ***");
  for (const secret of [password, "k-42424242"]) expect(told).not.toContain(secret);
});

test("secrets of a store are nowhere in clear, and it works by name and in code, in every process", async () => {
  const s3 = await new S3Server().listen();
  const bucket = defineStore("secretive", { s3: s3.place() });
  const write = task("write", async () => (await store("secretive").put("a", "by name")).key, { checkpoint: bucket });
  const read = task("read", async (key: string) => `${(await bucket.get(key)).toString()} ${s3Key(bucket)} ${inspect(bucket)}`);
  const run = await dag("secretive", () => read(write())).run();
  expect(await run.result()).toBe('by name "[store secretive]" [store secretive]');
  const kept: unknown[] = [];
  // Of a program also the code, which names the store.
  for await (const [key, value] of kv.scan("dag/")) kept.push([key, text(value)]);
  const clear = text(kept);
  expect(clear).toContain("secretive");
  expect(clear).not.toContain(s3.secretAccessKey);
  expect(clear).not.toContain(JSON.stringify(s3.secretAccessKey).slice(1, -1));
  // The same definition is the same code: another run of the graph is of the same version.
  const again = await dag("secretive", () => read(write())).run();
  await again.done();
  const version = async (id: string) => (await kv.get<{ program: string }>(`dag/run/${id}`))?.program;
  expect(await version(again.id)).toBe(await version(run.id));
  await s3.close();
});

const s3Key = (bucket: unknown): string => JSON.stringify(bucket);

test("what a task prints is told line by line as a log of its instance", async () => {
  const print = task("print", async (n: number) => {
    const { password: found } = await connection("vault");
    process.stdout.write(`begins ${n}, `);
    await new Promise((resolve) => setTimeout(resolve, 20));
    console.log(`goes on ${n} with ${found}`);
    console.error("wrong %d", n);
    if (n === 1) throw new Error("no");
    process.stdout.write(Buffer.from(`ends ${n}`));
  }, { numCpus: 0.1 });
  const run = await dag("lines", () => print.expand({ n: [0, 1, 2] })).run();
  await run.done();
  const told = new Map<string, unknown[]>();
  for await (const { type, taskId, mapIndex, name, value } of run.events()) {
    if (type !== "log" || name === "error") continue;
    told.set(taskId!, [...(told.get(taskId!) ?? []), `${name}${mapIndex} ${value}`]);
  }
  const lines = (n: number): string[] => [`stdout${n} begins ${n}, goes on ${n} with ***`, `stderr${n} wrong ${n}`];
  expect(Object.fromEntries(told)).toEqual({
    "print[0]": [...lines(0), "stdout0 ends 0"], "print[1]": lines(1), "print[2]": [...lines(2), "stdout2 ends 2"],
  });
});

test("a task may tell more than a journal has room for in one place", async () => {
  const shouts = task("shouts", () => {
    for (let i = 0; i < 40_000; i += 1) ctx().logger.info(`line ${i} ${"x".repeat(20)}`);
    throw new Error("long ".repeat(400_000));
  });
  const run = await dag("shouting", () => shouts()).run();
  await run.done();
  const lines: string[] = [];
  for await (const { type, name, value } of run.events()) if (type === "log" && name === "info") lines.push(String(value));
  expect([run.state, lines[0], lines.length]).toEqual(["failed", `line 0 ${"x".repeat(20)}`, 40_000]);
  // Who reads the journal sees the same.
  const others = remote(async (id: string) => {
    const seen = await getRun(id);
    const all: string[] = [];
    for await (const { type, name, value } of seen.events()) if (type === "log" && name === "info") all.push(String(value));
    return [seen.state, all.length, all.at(-1)];
  }, { numCpus: 0 });
  expect(await get(others.remote(run.id))).toEqual(["failed", lines.length, lines.at(-1)]);
});

test("what a task prints is in no log of its worker", async () => {
  const print = task("print", async () => {
    const { password: found } = await connection("vault");
    console.log(`printed ${found}`);
    console.error(`printed twice ${found}`);
  });
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, "write"));
  const printed = (): string => spies.flatMap(({ mock }) => mock.calls.map(([chunk]) => String(chunk))).join("");
  await (await dag("prints", () => print()).run()).result();
  await expect.poll(printed).toMatch(/printed \*\*\*[^]*printed twice \*\*\*/);
  expect(printed()).not.toContain(password);
  for (const spy of spies) spy.mockRestore();
});

/** Bytes too, as the text that they hold. */
function text(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) => {
    if (one instanceof Uint8Array) return Buffer.from(one).toString("latin1");
    return one instanceof Map ? [...one] : typeof one === "bigint" ? String(one) : one;
  });
}
