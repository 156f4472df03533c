// Metrics through the public API: what tasks and actors of two nodes count is told by each node, beside the system's own, also
// while workers are blocked; and nobody makes an agent wait.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Counter, Gauge, get, Histogram, InvalidArgumentError, kill, list, put, remote } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "metrics-"));
let cluster: TestCluster;
beforeAll(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Refuses whatever is not the text format. */
function parse(text: string): Sample[] {
  expect(text.endsWith("\n")).toBe(true);
  const types = new Map<string, string>();
  return text.trimEnd().split("\n").flatMap((line): Sample[] => {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.+)$/.exec(line);
    if (comment !== null) {
      expect(comment[1] === "TYPE" && types.has(comment[2]), line).toBe(false);
      if (comment[1] === "TYPE") types.set(comment[2], comment[3]);
      return [];
    }
    const match = /^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)$/.exec(line);
    expect(match, line).not.toBeNull();
    const [, name, labels = "", value] = match as RegExpExecArray;
    expect(types.has(name) || types.get(name.replace(/_(bucket|sum|count)$/, "")) === "histogram", line).toBe(true);
    const found = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label, text]) => [label, text]);
    const number = value === "+Inf" ? Infinity : Number(value);
    return [{ name, labels: Object.fromEntries(found) as Record<string, string>, value: number }];
  });
}

async function scrape(nodeId?: string): Promise<Sample[]> {
  const nodes = (await list.nodes()).filter(({ id }) => nodeId === undefined || id === nodeId);
  const texts = await Promise.all(nodes.map(async ({ metricsPort }) => {
    const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
    expect(response.headers.get("content-type")).toMatch(/^text\/plain; version=0\.0\.4/);
    return response.text();
  }));
  return texts.flatMap(parse);
}

async function sum(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
  const wanted = Object.entries(labels);
  return (await scrape())
    .filter((sample) => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value))
    .reduce((total, { value }) => total + value, 0);
}

describe("metrics of the user", () => {
  const hits = new Counter("test_hits_total", { tags: ["route"], description: "Hits of a test." });
  const depth = new Gauge("test_depth");
  const sizes = new Histogram("test_sizes", { tags: ["kind"], buckets: [10, 100] });

  test("are the same in the driver, in tasks and actors of every node, and after their workers ended", async () => {
    hits.inc(1, { route: "/driver" });
    const work = remote((route: string) => {
      hits.inc(2, { route });
      sizes.observe(route.length, { kind: "path" });
    });
    const Worker = remote(class {
      hit(): number {
        hits.inc(5, { route: "/actor" });
        depth.set(7);
        depth.dec(3);
        return process.pid;
      }
    });
    const actor = Worker.options({ numCpus: 0, resources: { far: 0.1 } }).remote();
    const far = { resources: { far: 0.1 } };
    await get([...Array.from({ length: 10 }, () => work.remote("/here")), work.options(far).remote("/far")]);
    await get(actor.hit.remote());
    await expect.poll(() => sum("test_hits_total")).toBe(1 + 20 + 2 + 5);
    expect(await sum("test_hits_total", { route: "/here" })).toBe(20);
    await expect.poll(() => sum("test_sizes_count")).toBe(11);
    expect(await sum("test_sizes_bucket", { le: "10" })).toBe(11);
    expect(await sum("test_sizes_sum")).toBe(10 * 5 + 4);
    expect((await scrape()).filter(({ name }) => name === "test_depth")).toMatchObject([{ value: 4 }]);
    await kill(actor);
    await expect.poll(async () => (await scrape()).some(({ name }) => name === "test_depth")).toBe(false);
    expect(await sum("test_hits_total", { route: "/actor" })).toBe(5);
  });

  test("are refused when they could not be told", () => {
    const wrong: readonly (() => unknown)[] = [
      () => new Counter("has space"), () => new Counter("troupe_mine"), () => new Counter("9lives"), () => new Counter(""),
      () => new Counter("tagged_total", { tags: ["le"] }), () => new Counter("tagged_total", { tags: ["a b"] }),
      () => new Gauge("test_hits_total"), () => new Counter("test_hits_total", { tags: ["other"] }),
      () => new Histogram("wrong_buckets", { buckets: [2, 1] }), () => hits.inc(-1, { route: "/" }),
      () => hits.inc(Number.NaN, { route: "/" }),
      () => hits.inc(1, {} as never), () => hits.inc(1, { route: "/", more: 1 } as never), () => depth.set("7" as never),
    ];
    for (const action of wrong) expect(action, String(action)).toThrow(InvalidArgumentError);
    expect(new Counter("test_hits_total", { tags: ["route"] }).name).toBe("test_hits_total");
  });
});

describe("metrics of the system", () => {
  test("tell of processes, store, workers, resources and tasks of each node", async () => {
    const ended = await sum("troupe_tasks_ended_total", { state: "FINISHED" });
    const ref = await put(new Uint8Array(10_000_000));
    const fail = remote(() => {
      throw new Error("no");
    });
    await get(Array.from({ length: 25 }, () => remote(() => 1).remote()));
    await get(fail.remote()).catch(() => {});
    await expect.poll(() => sum("troupe_tasks_ended_total", { state: "FINISHED" })).toBeGreaterThanOrEqual(ended + 25);
    await expect.poll(() => sum("troupe_tasks_ended_total", { state: "FAILED" })).toBeGreaterThanOrEqual(1);
    expect(await sum("troupe_store_bytes", { kind: "used" })).toBeGreaterThanOrEqual(10_000_000);
    expect(await sum("troupe_resources", { resource: "CPU", kind: "total" })).toBe(3);
    await expect.poll(async () => (await sum("troupe_workers")) - (await list.workers()).length).toBe(0);
    for (const role of ["agent", "worker"]) {
      expect(await sum("troupe_resident_bytes", { role })).toBeGreaterThan(10_000_000);
      expect(await sum("troupe_cpu_seconds_total", { role })).toBeGreaterThan(0);
    }
    const nodes = (await list.nodes()).map(({ id }) => id);
    expect(new Set((await scrape()).map(({ labels }) => labels.node))).toEqual(new Set(nodes));
    ref.release();
  });

  test("are told while workers are blocked, with the tasks that run and wait", async () => {
    const release = join(folder, "release");
    const block = remote((file: string) => {
      while (!existsSync(file)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    });
    const refs = Array.from({ length: 6 }, () => block.remote(release));
    await expect.poll(() => sum("troupe_tasks", { state: "RUNNING" })).toBeGreaterThanOrEqual(2);
    expect(await sum("troupe_tasks", { state: "QUEUED" }) + await sum("troupe_tasks", { state: "SUBMITTED" })).toBeGreaterThan(0);
    expect(await sum("troupe_workers", { state: "LEASED" })).toBeGreaterThanOrEqual(2);
    writeFileSync(release, "");
    await get(refs);
    await expect.poll(() => sum("troupe_tasks")).toBe(0);
  });
});

describe("the server", () => {
  async function ask(request: string): Promise<string> {
    const [{ metricsPort }] = await list.nodes();
    return new Promise((resolve) => {
      const socket = connect(metricsPort, "127.0.0.1", () => socket.write(request));
      let said = "";
      socket.on("data", (bytes: Buffer) => (said += bytes.toString()));
      socket.on("error", () => {});
      socket.on("close", () => resolve(said));
    });
  }

  test.each([
    ["GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", /^HTTP\/1\.1 200 OK\r\n[\s\S]*troupe_workers/],
    ["HEAD /metrics HTTP/1.0\r\n\r\n", /^HTTP\/1\.1 200 OK\r\n[^{]*$/],
    ["GET /etc/passwd HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 404/],
    ["POST /metrics HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 405/],
    ["\0\x01\xff\r\n\r\n", /^HTTP\/1\.1 405/],
    ["x".repeat(100_000), /^$/],
    ["GET /metrics HTTP/1.1\r\n", /^$/],
  ])("answers %#, and lets nobody wait for ever", async (request, expected) => {
    expect(await ask(request)).toMatch(expected);
    expect(await ask("GET /metrics HTTP/1.1\r\n\r\n")).toMatch(/200 OK/);
  });
});
