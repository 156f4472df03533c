// The head's process: started again when it dies, but not for ever, and held down for tests.

import { expect, test } from "vitest";
import type { AgentConfig } from "../../../runtime/agent/index.ts";
import { HeadProcess, RESTARTS_MAX, RESTARTS_WITHIN_MS } from "../../../runtime/agent/head/head-process.ts";
import type { SpawnRequest } from "../../../runtime/seams.ts";

function setUp() {
  const spawned: SpawnRequest[] = [];
  const reasons: string[] = [];
  const state = { now: 0 };
  const clock = {
    now: () => state.now, wallNow: () => state.now, soon: queueMicrotask,
    after: () => ({ cancel: () => {} }),
  };
  const die = (request = spawned.at(-1)) => request?.onExit({ exitCode: undefined, signal: "SIGKILL", stderrTail: ["at last"] });
  const spawner = {
    spawn: (request: SpawnRequest) => {
      spawned.push(request);
      return { pid: spawned.length, kill: () => die(request), signal: () => {} };
    },
  };
  const config = { clusterId: "c", token: "t", nodeId: "n", sessionDir: "/s", storage: "" } as AgentConfig;
  const random = { next: () => 0, hex: () => `process-${spawned.length + 1}` };
  const head = new HeadProcess({ clock, random, spawner, config, failed: (reason) => reasons.push(reason) });
  const isUp = () => spawned.at(-1)?.onReady?.({});
  return { head, spawned, reasons, state, die, isUp };
}

test("each start is another process, over the same storage of its own", async () => {
  const { head, spawned, die, isUp } = setUp();
  head.start();
  isUp();
  await head.up();
  die();
  const later = head.up();
  isUp();
  await later;
  expect(spawned.map(({ config }) => (config as { processId: string }).processId)).toEqual(["process-1", "process-2"]);
  expect(new Set(spawned.map(({ config }) => (config as { storage: string }).storage))).toEqual(new Set(["/s/head"]));
});

test("deaths that are rare are no reason to give up; too many in a minute are, and say how it ended", async () => {
  const { head, spawned, reasons, state, die, isUp } = setUp();
  head.start();
  for (let death = 0; death < 3 * RESTARTS_MAX; death += 1) {
    isUp();
    state.now += RESTARTS_WITHIN_MS / RESTARTS_MAX;
    die();
  }
  expect([spawned.length, reasons]).toEqual([3 * RESTARTS_MAX + 1, []]);
  for (let death = 0; death < RESTARTS_MAX && reasons.length === 0; death += 1) die();
  expect(reasons).toEqual([expect.stringMatching(/died 6 times within 60000 ms.*SIGKILL at last/)]);
});

test("one that never came up is not tried again", async () => {
  const { head, spawned, reasons, die } = setUp();
  head.start();
  const up = head.up();
  die();
  await expect(up).rejects.toThrow(/could not be started: SIGKILL at last/);
  expect([spawned.length, reasons]).toEqual([1, []]);
});

test("one that is held stays dead, and is not charged for it", async () => {
  const { head, spawned, reasons, isUp } = setUp();
  head.start();
  isUp();
  for (let round = 1; round <= 2 * RESTARTS_MAX; round += 1) {
    await head.hold(true);
    expect(spawned.length).toBe(round);
    const back = head.hold(false);
    isUp();
    await back;
  }
  expect(reasons).toEqual([]);
  head.close();
  expect(spawned.length).toBe(2 * RESTARTS_MAX + 1);
});
