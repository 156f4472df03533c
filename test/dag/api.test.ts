// The HTTP API over a service in this process: answers are what the document says, errors are typed, secrets are hidden.

import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApi } from "../../dag/api/openapi.ts";
import { ROUTES, type Served } from "../../dag/api/routes.ts";
import { problemOf, type Schema } from "../../dag/api/schema-check.ts";
import { SCHEMAS } from "../../dag/api/schemas.ts";
import { type ApiServer, serveApi } from "../../dag/api/server.ts";
import { ctx, dag, type DagService, serveDags, task, VirtualClock } from "../../dag/index.ts";
import { keepSecret } from "../../dag/run/secrets.ts";

const TOKEN = "t".repeat(64);
const clock = new VirtualClock(Date.parse("2026-01-01T00:00:00Z"));
let service: DagService;
let api: ApiServer;

const load = task("load", (n: number) => {
  ctx().logger.info(`password is ${"hunter"}2`);
  if (n < 0) throw new Error("no hunter2 below zero");
  return n;
});
const twice = task("twice", (x: number) => x * 2);
const each = dag("each", { schedule: "@daily", params: { n: 1 }, tags: ["a"], doc: "of the test" }, ({ n }) => (
  twice.expand({ x: [1, 2] }, load(n)).map((x) => x)
));

beforeAll(async () => {
  service = await serveDags({ dags: [each] }, { clock });
  const learnSecrets = async (): Promise<void> => keepSecret("hunter2");
  api = await serveApi({ served: service, version: "1", isToken: (given) => given === TOKEN, learnSecrets }, { port: 0 });
});
afterAll(async () => {
  api.close();
  await service.stop();
});

interface Answer {
  readonly status: number;
  readonly body: never;
}

async function call(method: string, path: string, body?: unknown, token = TOKEN): Promise<Answer> {
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const answer = await fetch(api.url + path, { method, headers: { Authorization: `Bearer ${token}` }, ...sent });
  return { status: answer.status, body: (await answer.json()) as never };
}

async function lines(path: string): Promise<Record<string, unknown>[]> {
  const answer = await fetch(api.url + path, { headers: { Authorization: `Bearer ${TOKEN}` } });
  expect(answer.headers.get("content-type")).toContain("application/x-ndjson");
  return (await answer.text()).trimEnd().split("\n").map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** What is answered to bytes that may be no request. */
function answerTo(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(Number(new URL(api.url).port), "127.0.0.1", () => socket.write(text));
    socket.on("data", (bytes) => (answer += bytes.toString())).on("error", reject).on("close", () => resolve(answer));
  });
}

const nested = (depth: number): string => `{"params": {"n": ${"[".repeat(depth)}${"]".repeat(depth)}}}`;

async function runIt(params: object): Promise<string> {
  const { status, body } = await call("POST", "/dags/each/runs", { params });
  expect(status).toBe(201);
  await clock.advanceTo(new Date(clock.now() + 1000).toISOString());
  return (body as { id: string }).id;
}

describe("the document", () => {
  const document = openApi("1") as {
    paths: Record<string, Record<string, { operationId: string }>>;
    components: { schemas: Record<string, Schema> };
  };

  test("is served to anybody, and has all routes and nothing else", async () => {
    const served = await fetch(`${api.url}/openapi.json`);
    expect([served.status, await served.json()]).toEqual([200, JSON.parse(JSON.stringify(document))]);
    const operations = Object.entries(document.paths).flatMap(([path, ways]) => (
      Object.entries(ways).map(([method, { operationId }]) => [method.toUpperCase(), path, operationId])
    ));
    expect(operations).toEqual(expect.arrayContaining(ROUTES.map(({ method, path, id }) => [method, `/api/v1${path}`, id])));
    expect(operations).toHaveLength(ROUTES.length);
    expect(new Set(ROUTES.map(({ id }) => id)).size).toBe(ROUTES.length);
  });

  test("refers to schemas that are there", () => {
    const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
    expect(refs.filter((name) => !Object.hasOwn(document.components.schemas, name))).toEqual([]);
  });

  test("tells what every route answers", async () => {
    const id = await runIt({ n: 3 });
    const failed = await runIt({ n: -1 });
    const bodies: Record<string, unknown> = {
      changeDag: { paused: false }, triggerRun: {}, markTask: { state: "success" }, clearRun: { task: "load" },
    };
    for (const { method, path, id: operation, status = 200, response, streams } of ROUTES) {
      const runId = operation === "clearRun" || operation === "resumeRun" || operation === "markTask" ? failed : id;
      const at = path.replace("{dagId}", "each").replace("{runId}", encodeURIComponent(runId)).replace("{taskId}", "load");
      if (streams) {
        for (const line of await lines(at)) expect(problemOf(response, line, SCHEMAS, operation), operation).toBeUndefined();
        continue;
      }
      const answer = await call(method, at, bodies[operation]);
      expect([answer.status, problemOf(response, answer.body, SCHEMAS, operation)], operation).toEqual([status, undefined]);
      await clock.advanceTo(new Date(clock.now() + 1000).toISOString());
    }
  });
});

describe("runs", () => {
  test("are started, waited for and looked at", async () => {
    const id = await runIt({ n: 4 });
    const at = `/dags/each/runs/${id}`;
    expect((await lines(`${at}/wait`)).at(-1)).toEqual({ state: "success", result: [2, 4] });
    expect((await call("GET", `${at}/result`)).body).toEqual({ result: [2, 4] });
    expect((await call("GET", `${at}/tasks/twice`)).body)
      .toMatchObject({ tasks: [{ id: "twice[0]", mapIndex: 0 }, { id: "twice[1]" }] });
    expect((await call("GET", `${at}/tasks/twice[1]`)).body).toMatchObject({ tasks: [{ id: "twice[1]", state: "success" }] });
    expect((await call("GET", "/dags/each/runs?state=success&limit=1")).body).toMatchObject({ runs: [{ id }] });
    expect(await call("GET", `${at}/tasks/none/logs`)).toMatchObject({ status: 404, body: { error: { code: "NOT_FOUND" } } });
    const events = await lines(`${at}/events?from=2`);
    expect([events[0].seq, events.at(-1)]).toEqual([2, expect.objectContaining({ type: "run", state: "success" })]);
    expect((await call("PATCH", "/dags/each", { paused: true })).body).toMatchObject({ id: "each", paused: true });
    expect((await call("PATCH", "/dags/each", { paused: false })).body).toMatchObject({ paused: false });
  });

  test("that fail say why, without secrets", async () => {
    const id = await runIt({ n: -2 });
    const at = `/dags/each/runs/${id}`;
    expect(await call("GET", `${at}/result`)).toMatchObject({ status: 409, body: { error: { code: "DAG_RUN_FAILED" } } });
    const last = { state: "failed", error: { message: expect.stringContaining("no *** below") } };
    expect((await lines(`${at}/wait`)).at(-1)).toMatchObject(last);
    const told = JSON.stringify([
      await call("GET", `${at}/logs`), await call("GET", `${at}/tasks`), await lines(`${at}/events`),
      await call("GET", `${at}/tasks/twice/why`), await call("GET", `${at}/tasks/load/logs`),
    ]);
    expect(told).toContain("password is ***");
    expect(told).not.toContain("hunter2");
  });
});

describe("refusals", () => {
  test.each<[method: string, path: string, body: unknown, status: number, code: string, text: string]>([
    ["GET", "/nothing", undefined, 404, "NOT_FOUND", "there is nothing at /api/v1/nothing"],
    ["GET", "/dags/other", undefined, 404, "NOT_FOUND", "dag other is not served here"],
    ["GET", "/dags/each/runs/none", undefined, 404, "NOT_FOUND", "run none"],
    ["DELETE", "/dags/each", undefined, 405, "METHOD_NOT_ALLOWED", "takes GET, PATCH, not DELETE"],
    ["GET", "/runs?state=done", undefined, 400, "INVALID_ARGUMENT", "state must be one of queued, running"],
    ["GET", "/runs?limit=x", undefined, 400, "INVALID_ARGUMENT", "limit must be integer"],
    ["GET", "/runs?size=1", undefined, 400, "INVALID_ARGUMENT", "size is not known; known are state, limit, offset"],
    ["POST", "/dags/each/runs", "{", 400, "INVALID_ARGUMENT", "the body is no JSON"],
    ["POST", "/dags/each/runs", { param: {} }, 400, "INVALID_ARGUMENT", "body has no param; it has params, logicalDate"],
    ["POST", "/dags/each/runs", { params: { m: 1 } }, 400, "INVALID_ARGUMENT", "dag each has no parameter m; it has n"],
    ["POST", "/dags/each/runs", { logicalDate: "soon" }, 400, "INVALID_ARGUMENT", "body.logicalDate must be a time"],
    ["POST", "/dags/each/runs", nested(300), 400, "INVALID_ARGUMENT", "body may be nested 200 deep"],
    ["POST", "/dags/each/runs", nested(100_000), 400, "INVALID_ARGUMENT", "body may be nested 200 deep"],
    ["GET", "/dags/other/runs", undefined, 404, "NOT_FOUND", "dag other is not served here"],
    ["GET", "/runs?offset=-1", undefined, 400, "INVALID_ARGUMENT", "offset must be 0 or more"],
    ["PATCH", "/dags/each", {}, 400, "INVALID_ARGUMENT", "body needs paused"],
    ["POST", "/dags/each/runs", "x".repeat(16_000_000), 413, "TOO_LARGE", "a body may have 1048576 bytes"],
  ])("%s %s", async (method, path, body, status, code, text) => {
    const answer = await call(method, path, body);
    expect(answer).toMatchObject({ status, body: { error: { code, message: expect.stringContaining(text) } } });
    expect(problemOf(SCHEMAS.Error, answer.body, SCHEMAS)).toBeUndefined();
  });

  test("what is no request is answered as all else", async () => {
    const rest = "Host: api\r\nConnection: close\r\n\r\n";
    expect(await answerTo(`GET // HTTP/1.1\r\n${rest}`)).toMatch(/^HTTP\/1.1 400 [^]*"message":"\/\/ is no path"/);
    expect(await answerTo("hello\r\n\r\n")).toMatch(/^HTTP\/1.1 400 [^]*application\/json[^]*{"error":{"code":"INVALID_/);
    expect(await answerTo(`GET / HTTP/1.1\r\nA: ${"a".repeat(99_999)}\r\n${rest}`)).toMatch(/^HTTP\/1.1 431 [^]*{"error":/);
    expect(await answerTo(`PUT /api/v1/dags HTTP/1.1\r\n${rest}`)).toMatch(/^HTTP\/1.1 405 [^]*\r\nAllow: GET\r\n/);
  });

  test("without the token nothing is told", async () => {
    for (const { method, path, open } of ROUTES) {
      if (open) continue;
      const answer = await call(method, path, undefined, "wrong");
      expect(answer).toMatchObject({ status: 401, body: { error: { code: "AUTHENTICATION" } } });
    }
    const bare = await fetch(`${api.url}/dags`);
    expect([bare.status, bare.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  });

  test("a wait ends with its time, or when nobody reads any more", async () => {
    let abandoned = (): void => {};
    // A run that tells nothing and never ends.
    const quiet: Partial<Served> = {
      run: async (id) => ({ id, dagId: "quiet", state: "running" }) as never,
      events: async (_id, { waitMs } = {}) => {
        if (waitMs === 0) abandoned();
        await new Promise((resolve) => setImmediate(resolve));
        return { events: [], next: 0, over: false };
      },
    };
    const its = await serveApi(
      { served: quiet as Served, version: "1", isToken: () => true, learnSecrets: async () => {} }, { port: 0 },
    );
    const run = `${its.url}/dags/quiet/runs/r`;
    const headers = { Authorization: "Bearer x" };
    expect(await (await fetch(`${run}/wait?timeoutMs=20`, { headers })).text()).toBe('{"state":"running"}\n');
    const timed = await fetch(`${run}/events?timeoutMs=20`, { headers });
    expect([timed.status, await timed.text()]).toEqual([200, ""]);
    const noticed = new Promise<void>((resolve) => (abandoned = resolve));
    const left = request(`${run}/events`, { headers });
    left.on("error", () => {}).once("response", () => left.destroy()).end();
    await noticed;
    its.close();
  });

  test("a stream that nobody reads any more costs nothing", async () => {
    const sleeper = dag("sleeper", () => task("sleep", () => ctx().sleepUntil(new Date("2030-01-01")))());
    const other = await serveDags({ dags: [sleeper] }, { clock, name: "other" });
    const id = await other.trigger("sleeper");
    const its = await serveApi({ served: other, version: "1", isToken: () => true, learnSecrets: async () => {} }, { port: 0 });
    const asked = request(`${its.url}/dags/sleeper/runs/${id}/wait`, { headers: { Authorization: "Bearer x" } });
    const first = new Promise<string>((resolve) => {
      asked.once("response", (answer) => answer.once("data", (bytes: Buffer) => resolve(bytes.toString())));
    });
    asked.end();
    expect(JSON.parse(await first)).toMatchObject({ state: "running" });
    asked.on("error", () => {}).destroy();
    await other.cancel(id);
    its.close();
    await expect(fetch(`${its.url}/health`)).rejects.toThrow();
  });
});
