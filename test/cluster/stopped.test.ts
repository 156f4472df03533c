// Processes that stand still without being dead: SIGSTOP to workers, agents and the head. Whoever depends on them must not.

import { readFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ActorUnavailableError, get, getRuntimeContext, NodeDiedError, onNode, remote, run, WorkerCrashedError, type Cluster,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { until } from "../until.ts";

/** Bound of a worker's silence in these tests. */
const SILENCE_MS = 3000;

let cluster: TestCluster;
let driver: Cluster;
const stopped: number[] = [];

function stop(pid: number): void {
  stopped.push(pid);
  process.kill(pid, "SIGSTOP");
}

function goOn(pid: number): void {
  try {
    process.kill(pid, "SIGCONT");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Zombies, whose parent has not looked yet, do not count. */
function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat[stat.lastIndexOf(")") + 2] !== "Z";
  } catch {
    return false;
  }
}

beforeEach(async () => {
  process.env.TROUPE_WORKER_SILENCE_MS = String(SILENCE_MS);
  cluster = await testCluster({ head: { numCpus: 1 }, nodes: [{ numCpus: 1, resources: { a: 1 } }] });
  driver = await cluster.connect();
});
afterEach(async () => {
  delete process.env.TROUPE_WORKER_SILENCE_MS;
  stopped.splice(0).forEach(goOn);
  await cluster.stop();
});

const pidOf = remote(() => process.pid);
/** Where tasks tell that they run. */
class Board {
  notes: number[] = [];
  note(pid: number) {
    this.notes.push(pid);
  }
  read() {
    return this.notes;
  }
}

/** A task that tells its process on the board, and never ends on its first attempt. */
function stuckTasks() {
  const board = remote(Board, { numCpus: 0 }).remote();
  const stuck = remote(async () => {
    await get(board.note.remote(process.pid));
    const { attempt, nodeId } = getRuntimeContext();
    while (attempt === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    return nodeId;
  });
  return { board, stuck };
}

async function headNode(): Promise<string> {
  return (await driver.nodes()).find(({ isHead }) => isHead)?.id ?? "";
}

describe("a worker that is stopped", () => {
  test("is ended; its task runs again, or fails with the cause", async () => {
    const { board, stuck } = stuckTasks();
    const here = await headNode();
    const again = stuck.options({ schedulingStrategy: onNode(here) }).remote();
    const once = stuck.options({ resources: { a: 1 }, maxRetries: 0 }).remote();
    await until(async () => (await get(board.read.remote())).length === 2);
    for (const pid of await get(board.read.remote())) stop(pid);
    expect(await get(again)).toBe(here);
    const error = (await get(once).catch((thrown: unknown) => thrown)) as WorkerCrashedError;
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({ signal: "SIGKILL", reason: "killed" });
    expect(error.message).toMatch(/did not answer for \d+ s: its process was stopped or is stuck/);
  });

  test("and hosts an actor: it restarts where that is allowed, else its calls fail with the cause", async () => {
    class Host {
      pid() {
        return process.pid;
      }
    }
    const phoenix = remote(Host, { numCpus: 0, maxRestarts: 1 }).remote();
    const mortal = remote(Host, { numCpus: 0 }).remote();
    const pids = await get([phoenix.pid.remote(), mortal.pid.remote()]);
    pids.forEach(stop);
    const again = async () => get(phoenix.pid.remote()).catch((error: unknown) => {
      if (error instanceof ActorUnavailableError) return pids[0];
      throw error;
    });
    await until(async () => (await again()) !== pids[0]);
    await expect(get(mortal.pid.remote())).rejects.toThrow(/did not answer for \d+ s/);
  });

  test("for less than the bound goes on where it was", async () => {
    const pid = await run(pidOf);
    stop(pid);
    const ref = pidOf.remote();
    await new Promise((resolve) => setTimeout(resolve, SILENCE_MS / 2));
    goOn(pid);
    expect(await get(ref)).toBe(pid);
  });

  test("is not mistaken for one whose loop is blocked", async () => {
    const busy = remote((ms: number) => {
      for (const until = Date.now() + ms; Date.now() < until; );
      return getRuntimeContext().attempt;
    });
    expect(await run(busy, 2 * SILENCE_MS)).toBe(0);
  });
});

describe("an agent that is stopped", () => {
  test("is declared dead; when it goes on it finds that out, and ends with its workers", async () => {
    const far = await cluster.addNode({ numCpus: 1, resources: { b: 1 } });
    const { board, stuck } = stuckTasks();
    // Where there is such a node is known by now: a soft wish for one that is not known goes elsewhere.
    await run(pidOf.options({ resources: { b: 1 }, numCpus: 0 }));
    const again = stuck.options({ schedulingStrategy: onNode(far, { soft: true }) }).remote();
    const once = stuck.options({ resources: { b: 1 }, maxRetries: 0, numCpus: 0 }).remote();
    await until(async () => (await get(board.read.remote())).length === 2);
    const agent = cluster.pids().agents.get(far) as number;
    const workers = cluster.pids().workers.get(far) ?? [];
    expect(workers.length).toBeGreaterThanOrEqual(2);
    stop(agent);
    const dead = async () => (await driver.nodes()).some(({ id, state }) => id === far && state === "DEAD");
    await until(dead);
    expect(await get(again)).not.toBe(far);
    await expect(get(once)).rejects.toThrow(NodeDiedError);
    goOn(agent);
    await until(() => ![agent, ...workers].some(isRunning));
    expect(await dead()).toBe(true);
  });
});

describe("a head that is stopped", () => {
  test("for longer than the bound of a node's silence declares no node dead when it goes on", async () => {
    const { head } = cluster.pids();
    stop(head);
    await new Promise((resolve) => setTimeout(resolve, 7000));
    goOn(head);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect((await driver.nodes()).map(({ state }) => state)).toEqual(["ALIVE", "ALIVE"]);
    expect(await run(pidOf.options({ resources: { a: 1 } }))).toBeTypeOf("number");
  });
});
