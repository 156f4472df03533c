// The end of a private cluster: asked for, then forced, and waited for however long the system takes.

import { expect, test } from "vitest";
import { startPrivateCluster } from "../../../runtime/driver/private-cluster.ts";
import type { ChildExit, Seams, SpawnRequest } from "../../../runtime/seams.ts";
import { HandClock } from "../../hand-clock.ts";

test("the process is held until its host is gone, also when that takes long after it was killed", async () => {
  const clock = new HandClock();
  const said: string[] = [];
  let exited: (exit: ChildExit) => void = () => {};
  const spawn = (request: SpawnRequest) => {
    exited = request.onExit;
    request.onReady?.({});
    return { pid: 1, kill: () => void said.push("SIGKILL"), signal: (name: string) => void said.push(name) };
  };
  const random = { next: () => 0, hex: (digits: number) => "0".repeat(digits) };
  const cluster = startPrivateCluster({ clock, random, spawner: { spawn } } as unknown as Seams, {} as never);
  await cluster.ready;
  let isOver = false;
  const stopped = cluster.stop().then(() => (isOver = true));
  clock.advance(30_000);
  await Promise.resolve();
  expect([isOver, clock.timers.length, said[0], said[1]]).toEqual([false, 1, "SIGTERM", "SIGKILL"]);
  exited({ exitCode: undefined, signal: "SIGKILL", stderrTail: [] });
  await stopped;
  expect(clock.timers).toEqual([]);
});
