// Operators: commands, requests, sensors, notes to people, operators of one's own; secrets in none of what they tell.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  bash, connection, ctx, dag, type DagRun, type DagRunFailedError, defineOperator, fileSensor, http, notify, sensor, sh, task,
  timeSensor,
} from "../../dag/index.ts";
import { until } from "../until.ts";

let server: Server;
let url = "";
const heard: { path: string; body: unknown }[] = [];
let failures = 0;

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = "";
    request.on("data", (part: Buffer) => (text += part.toString()));
    request.on("end", () => {
      heard.push({ path: request.url!, body: text === "" ? undefined : JSON.parse(text) });
      response.writeHead(request.url === "/missing" || failures-- > 0 ? 404 : 200, {
        "content-type": "application/json",
        "x-a": "b",
      });
      response.end(JSON.stringify({ method: request.method, got: text }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

/** Its group has a process. */
function isAlive(pid: string): boolean {
  try {
    return process.kill(-Number(pid), 0);
  } catch {
    return false;
  }
}

const only = async (run: DagRun<unknown>) => (await run.tasks())[0];

describe("bash", () => {
  test("gives the last line, as JSON where it is; JSON lines are metrics", async () => {
    const run = await dag("command", () =>
      bash({ cmd: 'echo \'{"loss": 0.5, "name": "x"}\'; echo done; echo "[1, $N]"', env: { N: "2" } }),
    ).test();
    expect(await run.result()).toEqual([1, 2]);
    const metrics = [];
    for await (const event of run.events()) if (event.type === "metric") metrics.push([event.name, event.value]);
    expect(metrics).toEqual([["loss", 0.5]]);
    const pretty = await dag("pretty", () => bash({ cmd: `printf '{\n  "a": [\n    1\n  ]\n}\n'` })).test();
    expect(await pretty.result()).toEqual({ a: [1] });
    expect(await (await dag("text", () => bash({ cmd: "pwd", cwd: "/" })).test()).result()).toBe("/");
  });

  test("99 is a skip, anything else a failure with what it said", async () => {
    expect(await only(await dag("skip", () => bash({ cmd: "exit 99" })).test())).toMatchObject({ id: "bash", state: "skipped" });
    const failed = await only(await dag("fail", () => bash({ cmd: "echo oh no >&2; exit 3" }, { id: "named" })).test());
    expect(failed).toMatchObject({ id: "named", state: "failed", reason: "the command ended with 3: oh no" });
  });

  test("sh quotes values, also of nodes", async () => {
    const name = task("name", () => "it's $HOME; exit 1");
    const run = await dag("quoted", () => sh`printf '%s|' ${name()} ${["a b", "c"]}`).test();
    expect(await run.result()).toBe("it's $HOME; exit 1|a b|c|");
    const skipped = task("skipped", () => ctx().skip("no"));
    const other = await dag("other", () => (
      sh.with({ triggerRule: "allDone" })`printf '%s|' ${skipped()} ${{ a: 1 }} ${new Date(0)}`
    )).test();
    expect(await other.result()).toBe('|{"a":1}|1970-01-01T00:00:00.000Z|');
  });

  test("a result is whole, whatever its size and what comes before it; all lines are logs", async () => {
    const run = await dag("large", () => (
      bash({ cmd: `echo first; echo >&2 second; printf '{"x": "%0200000d"}' 0` })
    )).test();
    expect(await run.result()).toEqual({ x: "0".repeat(200_000) });
    const told = [];
    for await (const { type, name, value } of run.events()) if (type === "log") told.push([name, String(value).slice(0, 6)]);
    expect(told.sort()).toEqual([["info", "first"], ["info", '{"x": '], ["warn", "second"]]);
  });

  test("what it can't do is named", async () => {
    const lost = await only(await dag("lost", () => bash({ cmd: "true", cwd: "/nowhere" })).test());
    expect(lost).toMatchObject({ state: "failed", reason: "bash: cwd /nowhere is no folder here" });
    expect(() => dag("empty", () => bash({} as never))).toThrow(/cmd must be a command, as a text, not undefined/);
    const number = task("number", () => 5);
    const typed = await (await dag("typed", () => bash({ cmd: number() as never })).test()).tasks();
    expect(typed[1]).toMatchObject({ state: "failed", reason: "bash: cmd must be a command, as a text, not 5" });
  });

  test("ends with its attempt: when its time is over, and when its worker is killed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "troupe-bash-"));
    const file = join(folder, "pid");
    const pidIn = (): string => (existsSync(file) ? readFileSync(file, "utf8").trim() : "");
    const cmd = `echo $$ > ${file}; sleep 600 & wait`;
    const late = await only(await dag("late", () => bash({ cmd }, { timeoutMs: 500 })).test());
    expect(late).toMatchObject({ state: "failed", reason: expect.stringContaining("longer than 500 ms") });
    const first = pidIn();
    await until(() => !isAlive(first));

    rmSync(file);
    const module = JSON.stringify(new URL("../../dist/dag/index.js", import.meta.url).href);
    const draw = `() => bash({ cmd: ${JSON.stringify(cmd)} })`;
    const code = `const { bash, dag } = await import(${module}); await dag("d", ${draw}).test();`;
    const worker = spawn(process.execPath, ["--input-type=module", "-e", code], { stdio: "ignore" });
    await until(() => pidIn() !== "");
    const pid = pidIn();
    expect(isAlive(pid)).toBe(true);
    worker.kill("SIGKILL");
    await until(() => !isAlive(pid));
    rmSync(folder, { recursive: true });
  });
});

test("http gives status, headers and body, and fails on a bad status", async () => {
  const run = await dag("request", () => http({ url: `${url}/a`, body: { x: task("x", () => 1)() } })).test();
  expect(await run.result()).toMatchObject({ status: 200, headers: { "x-a": "b" }, body: { method: "POST", got: '{"x":1}' } });
  const missing = (accept?: number[]) => dag("missing", () => http({ url: `${url}/missing`, accept })).test();
  expect((await only(await missing())).reason).toMatch(/answered with 404/);
  expect((await missing([404])).state).toBe("success");
  const head = await dag("head", () => http({ url, method: "HEAD" })).test();
  expect(await head.result()).toMatchObject({ status: 200, body: "" });
  const nobody = await only(await dag("nobody", () => http({ url: "http://127.0.0.1:9" })).test());
  expect(nobody.reason).toMatch(/^GET http:\/\/127\.0\.0\.1:9: fetch failed: /);
  expect(() => dag("nowhere", () => http({ url: "nowhere" }))).toThrow(/url must be one that begins with http/);
});

describe("sensors", () => {
  const now = "2026-01-01T00:00:00Z";

  test("look again and again, as one attempt, until they see something", async () => {
    let looks = 0;
    const run = await dag("sensed", () =>
      sensor("sees", () => (looks += 1) === 4 && `look ${looks}`, { everyMs: 60_000 }),
    ).test({}, { now });
    expect(await run.result()).toBe("look 4");
    expect(await only(run)).toMatchObject({ attempt: 0, endedAt: new Date("2026-01-01T00:03:00Z") });
  });

  test("fail, or are skipped, when their time is over, whatever their retries", async () => {
    const blind = (options: object) =>
      dag("blind", () => sensor("blind", () => false, { timeoutMs: 150_000, retries: 3, ...options })).test({}, { now });
    expect(await only(await blind({}))).toMatchObject({ state: "failed", endedAt: new Date("2026-01-01T00:02:30Z") });
    expect(await only(await blind({ softFail: true }))).toMatchObject({ state: "skipped" });
  });

  test("of files and times", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sensor-"));
    const path = join(folder, "there");
    const later = task("write", () => { ctx().sleepUntil(new Date("2026-01-01T00:05:30Z")); writeFileSync(path, ""); });
    const run = await dag("both", () => ({
      file: fileSensor("file", path),
      at: timeSensor("at", "2026-01-02"),
      wrote: later(),
    })).test({}, { now });
    rmSync(folder, { recursive: true });
    expect(await run.result()).toMatchObject({ file: path, at: new Date("2026-01-02") });
    expect((await run.tasks()).map(({ endedAt }) => endedAt?.toISOString()))
      .toEqual(["2026-01-01T00:06:00.000Z", "2026-01-02T00:00:00.000Z", "2026-01-01T00:05:30.000Z"]);
  });

  test("ten thousand wait in one process", async () => {
    let looks = 0;
    const many = task("many", (n: number) => n);
    const run = await dag("many", () => {
      for (let i = 0; i < 10_000; i += 1) sensor(`s${i}`, () => { looks += 1; return looks > 10_000; }, { everyMs: 1000 });
      return many(1);
    }).test({}, { now });
    expect([run.state, looks, (await run.tasks()).length]).toEqual(["success", 20_000, 10_001]);
  });
});

test("notes reach a webhook at least once, and never change a state", async () => {
  heard.length = 0;
  failures = 1;
  const boom = task("boom", () => { throw new Error("it broke"); }, {
    onFailure: [notify.slack({ webhook: `${url}/slack`, channel: "#ops" }), notify.webhook({ url: "http://127.0.0.1:1/nobody" })],
  });
  const run = await dag("noted", { onFailure: notify.webhook({ url: `${url}/run` }) }, () => boom()).test();
  expect(run.state).toBe("failed");
  await expect.poll(() => heard.filter(({ path }) => path === "/slack").length).toBe(2);
  await expect.poll(() => heard.some(({ path }) => path === "/run")).toBe(true);
  expect(heard.findLast(({ path }) => path === "/slack")?.body).toEqual({
    channel: "#ops", text: `noted: task boom of run ${run.id} failed: it broke`,
  });
});

test("notes say what happened", async () => {
  heard.length = 0;
  const slack = notify.slack({ webhook: `${url}/slack` });
  const skipped = task("skipped", () => ctx().skip("no need"), { onSkip: slack });
  const boom = task("boom", () => { throw new Error("it broke"); }, { retries: 1, retryDelayMs: 1000, onRetry: slack });
  const run = await dag("said", () => [skipped(), boom()]).test({}, { now: "2026-01-01T00:00:00Z" });
  await until(() => heard.length === 2);
  expect(heard.map(({ body }) => (body as { text: string }).text).sort()).toEqual([
    `said: task boom of run ${run.id} failed: it broke; the next try begins at 2026-01-01T00:00:01.000Z`,
    `said: task skipped of run ${run.id} was skipped`,
  ]);
});

test("notes that could reach nobody are refused where they are written", () => {
  expect(() => notify.slack({} as never)).toThrow(/notify\.slack needs webhook/);
  expect(() => notify.slack({ webhook: url, chanel: "#c" } as never)).toThrow(/notify\.slack option chanel is not known/);
  expect(() => notify.webhook({ url: "nobody" })).toThrow(/notify\.webhook option url must be a URL/);
  expect(() => notify.email({ to: [] })).toThrow(/notify\.email option to must be an address/);
});

test("an operator of one's own is cancelled with its attempt; what it is made of is checked", async () => {
  const cancelled: number[] = [];
  const stuck = defineOperator({
    id: "stuck", execute: () => new Promise(() => {}), cancel: ({ n }: { n: number }) => void cancelled.push(n),
  });
  expect((await dag("late", () => stuck({ n: 3 }, { timeoutMs: 100 })).test()).state).toBe("failed");
  expect(cancelled).toEqual([3]);
  const elsewhere = defineOperator({
    id: "elsewhere", pollEveryMs: 1000, execute: () => undefined, poll: () => undefined,
    cancel: async ({ n }: { n: number }) => { cancelled.push(await Promise.resolve(n)); },
  });
  const run = await dag("between", { timeoutMs: 4500 }, () => elsewhere({ n: task("four", () => 4)() })).test();
  expect([run.state, (await run.tasks())[1].state, cancelled]).toEqual(["failed", "skipped", [3, 4]]);
  const execute = (): number => 1;
  expect(() => defineOperator({ id: "a", execute, pol: execute } as never)).toThrow(/operator a: pol is not known/);
  expect(() => defineOperator({ id: "a", execute, poll: 5 } as never)).toThrow(/operator a: poll must be a function/);
  expect(() => defineOperator({ id: "a" } as never)).toThrow(/operator a: execute must be a function/);
});

test("an operator of one's own has its options, checks its inputs, and polls without a worker", async () => {
  let [begun, polls] = [0, 0];
  const job = defineOperator({
    id: "job", defaults: { retries: 1, retryDelayMs: 1 }, pollEveryMs: 1000,
    execute: ({ size }: { size: number }): number | undefined => { begun += size; return undefined; },
    poll: ({ size }): number | undefined => ((polls += 1) === 3 ? size * 2 : undefined),
  });
  const run = await dag("own", () => job({ size: task("size", () => 5)() }, { id: "mine" })).test(
    {},
    { now: "2026-01-01T00:00:00Z" },
  );
  expect([await run.result(), begun, polls, (await run.tasks())[1].id]).toEqual([10, 5, 3, "mine"]);
});

test("secrets of connections are hidden in what tasks tell", async () => {
  process.env.TROUPE_CONN_STORE_MAIN = "s3://user:p%40ss-word@host:9000/bucket/a?region=eu&secret_key=hush-hush";
  const leaks = task("leaks", async () => {
    const { password, extra } = await connection("store_main");
    ctx().logger.info(`using ${password}`);
    const error = new AggregateError([new Error(password)], `${password} and ${extra.secret_key} are wrong`);
    throw Object.assign(error, { request: { headers: [password, Buffer.from(`user:${password}`).toString("base64")] } });
  });
  const run = await dag("secret", () => leaks()).test();
  delete process.env.TROUPE_CONN_STORE_MAIN;
  expect((await only(run)).reason).toBe("*** and *** are wrong");
  const failed = (await run.result().catch((error: unknown) => error)) as DagRunFailedError;
  expect(inspect(failed, { depth: 9, showHidden: true })).not.toMatch(/p@ss-word|hush-hush|dXNlcjpwQHNz/);
  expect(failed.failures[0].error).toMatchObject({ request: { headers: ["***", "***"] }, errors: [{ message: "***" }] });
  const told = [];
  for await (const { type, value } of run.events()) if (type === "log") told.push(value);
  expect(told).toEqual(["using ***", expect.stringMatching(/Error: \*\*\* and \*\*\* are wrong/)]);
  await expect(connection("a b")).rejects.toThrow(/letters, digits/);
});
