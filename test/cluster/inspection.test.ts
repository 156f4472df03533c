// What people ask a running cluster about its workers: `troupe logs`, `troupe stack` and `troupe timeline`, while their loops are
// blocked.

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { get, getActor, kill, list, remote, timeline } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

const TROUPE = fileURLToPath(new URL("../../cli/troupe.js", import.meta.url));

let cluster: TestCluster;
const followers: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), "inspection-"));

beforeAll(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
});
afterEach(() => {
  for (const follower of followers.splice(0)) follower.kill("SIGKILL");
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

const environment = () => ({ ...process.env, TROUPE_TOKEN: cluster.token, TROUPE_ADDRESS: cluster.address });

async function troupe(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [TROUPE, ...args], { env: environment() });
  return stdout;
}

class Printer {
  print(line: string): number {
    console.log(line);
    return process.pid;
  }
  /** Until the file is there. */
  spinUntil(file: string): number {
    console.log("spinning");
    const spin = (): number => {
      let turns = 0;
      while (!existsSync(file)) turns += 1;
      return turns;
    };
    return spin();
  }
}
const RemotePrinter = remote(Printer);

let files = 0;
function newFile(): string {
  files += 1;
  return join(folder, `release-${files}`);
}

/** How many sockets of a process listen on TCP. */
function listening(pid: number): number {
  const inodes = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? "";
    } catch {
      // It was closed meanwhile.
      return "";
    }
  });
  const rows = readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n").slice(1).map((row) => row.trim().split(/\s+/));
  return rows.filter((fields) => fields[3] === "0A" && inodes.includes(fields[9])).length;
}

const NODES = [["this node", {}], ["another node", { far: 0.1 }]] as const;

test.each(NODES)("the log of a worker of %s, by every name it has", async (_, resources) => {
  const printer = RemotePrinter.options({ numCpus: 0, resources, name: "printer" }).remote();
  const pid = await get(printer.print.remote("hello there"));
  const actor = (await list.actors({ filters: { name: "printer", state: "ALIVE" } }))[0];
  await expect.poll(() => troupe("logs", "printer")).toBe("hello there\n");
  expect(await troupe("logs", String(pid))).toBe("hello there\n");
  expect(await troupe("logs", actor.id)).toBe("hello there\n");
  const [row] = (await list.logs()).filter((log) => log.pid === pid);
  expect(row).toMatchObject({ bytes: 12, state: "OPEN", nodeId: actor.nodeId });
  expect(await troupe("logs")).toContain(row.id);
  await kill(printer);
  await expect.poll(async () => (await list.logs({ filters: { id: row.id } }))[0]?.state).toBe("ENDED");
  expect(await troupe("logs", row.id.slice(0, 10))).toBe("hello there\n");
});

test("a log is followed until its worker ends", async () => {
  const printer = RemotePrinter.options({ numCpus: 0, name: "followed" }).remote();
  await get(printer.print.remote("first"));
  const follower = spawn(process.execPath, [TROUPE, "logs", "followed", "--follow"], { env: environment() });
  followers.push(follower);
  let seen = "";
  follower.stdout.on("data", (bytes: Buffer) => (seen += bytes.toString()));
  const ended = new Promise((resolve) => follower.once("exit", resolve));
  await expect.poll(() => seen).toBe("first\n");
  await get(printer.print.remote("second"));
  await expect.poll(() => seen).toBe("first\nsecond\n");
  await kill(printer);
  expect(await ended).toBe(0);
});

test("what has no log is said", async () => {
  await expect(troupe("logs", "nobody")).rejects.toThrow(/nothing in this cluster is called nobody/);
});

test.each(NODES)("the stack of a worker of %s that is stuck in a loop", async (_, resources) => {
  const printer = RemotePrinter.options({ numCpus: 0, resources, name: "stuck" }).remote();
  const pid = await get(printer.print.remote("begun"));
  const release = newFile();
  const stuck = printer.spinUntil.remote(release);
  await expect.poll(() => troupe("logs", "stuck")).toBe("begun\nspinning\n");
  const stacks = await Promise.all([troupe("stack", "stuck"), troupe("stack", String(pid))]);
  for (const stack of stacks) {
    expect(stack).toMatch(new RegExp(`process ${pid}, ACTOR`));
    expect(stack).toMatch(/^ {4}at .*spin.*inspection\.test\.ts:\d+:\d+\)$/m);
    expect(stack).toMatch(/^ {4}at .*spinUntil/m);
  }
  expect(await troupe("stack")).toContain("spinUntil");
  // It goes on, says nothing of it, and listens nowhere any more.
  writeFileSync(release, "");
  expect(await get(stuck)).toBeGreaterThan(0);
  expect(await troupe("logs", "stuck")).toBe("begun\nspinning\n");
  await expect.poll(() => listening(pid)).toBe(0);
  expect(await troupe("stack", "stuck")).toMatch(/no JavaScript is running: its event loop waits/);
  await kill(await getActor("stuck"));
});

test("the stack of an actor that is a thread is its own", async () => {
  const printer = RemotePrinter.options({ numCpus: 0, isolation: "thread", name: "thread" }).remote();
  await get(printer.print.remote("begun"));
  const release = newFile();
  const stuck = printer.spinUntil.remote(release);
  await expect.poll(() => troupe("logs", "thread")).toContain("begun\nspinning\n");
  await expect.poll(() => troupe("stack", "thread")).toMatch(/^ {4}at .*spinUntil/m);
  writeFileSync(release, "");
  await get(stuck);
  expect(await troupe("stack", "thread")).toMatch(/its event loop waits/);
  await kill(printer);
});

test("a worker that sleeps in a system call is told with what it waits in", async () => {
  const Sleeper = remote(class {
    pid(): number {
      return process.pid;
    }
    async sleepUntil(file: string): Promise<void> {
      const { execFileSync } = await import("node:child_process");
      execFileSync("sh", ["-c", `while [ ! -e ${file} ]; do sleep 0.1; done`]);
    }
  });
  const sleeper = Sleeper.options({ numCpus: 0 }).remote();
  const pid = await get(sleeper.pid.remote());
  const release = newFile();
  const asleep = sleeper.sleepUntil.remote(release);
  await expect.poll(() => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")).not.toBe("");
  expect(await troupe("stack", String(pid))).toMatch(/it is in native code or a system call \(state S/);
  writeFileSync(release, "");
  await get(asleep);
  // The inspector that opens after all is closed.
  expect(await troupe("stack", String(pid))).toMatch(/its event loop waits/);
  await expect.poll(() => listening(pid)).toBe(0);
});

test("the timeline has what ran and what waits on every node, also while a worker is blocked", async () => {
  const work = remote(function work(ms: number) {
    for (const until = Date.now() + ms; Date.now() < until; );
  }, { name: "work" });
  const far = { resources: { far: 0.1 } };
  const refs = [...Array.from({ length: 10 }, () => work.remote(20)), work.options(far).remote(20)];
  const printer = RemotePrinter.options({ numCpus: 0 }).remote();
  await get([...refs, printer.print.remote("in the timeline")]);
  const release = newFile();
  const block = remote((file: string) => {
    while (!existsSync(file));
  }, { name: "blocked" });
  const blocked = block.remote(release);
  const running = () => list.tasks({ filters: { name: "blocked", state: "RUNNING" } });
  await expect.poll(async () => (await running()).length).toBe(1);
  const traces = [join(folder, "api.json"), join(folder, "command.json")];
  await timeline(traces[0]);
  expect(await troupe("timeline", "-o", traces[1])).toMatch(/^\d+ tasks and calls in /);
  for (const file of traces) {
    const { traceEvents } = JSON.parse(readFileSync(file, "utf8")) as { traceEvents: Record<string, unknown>[] };
    const spans = traceEvents.filter(({ ph }) => ph === "X");
    const of = (name: string) => spans.filter((span) => span.name === name);
    expect(of("work")).toHaveLength(11);
    for (const { dur } of of("work")) expect(dur).toBeGreaterThanOrEqual(19_000);
    expect(new Set(of("work").map(({ pid }) => pid)).size).toBe(2);
    expect(of("blocked")).toMatchObject([{ cat: "task", args: { state: "RUNNING" } }]);
    expect(spans.filter(({ cat }) => cat === "actor call").length).toBeGreaterThan(0);
    expect(traceEvents.filter(({ ph, cat }) => ph === "b" && cat === "queue").length).toBeGreaterThanOrEqual(spans.length);
    for (const { ts, dur } of spans) expect([Number.isSafeInteger(ts), Number.isSafeInteger(dur)]).toEqual([true, true]);
  }
  writeFileSync(release, "");
  await get(blocked);
});
