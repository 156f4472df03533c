// What the addon does while an event loop is blocked: the lifeline ends the process with what it started, late bytes leave.

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { until } from "../until.ts";

const CHILD = fileURLToPath(new URL("./fixtures/child.ts", import.meta.url));

let child: ChildProcess | undefined;

function start(...args: string[]): ChildProcess {
  child = spawn(process.execPath, ["--import", "tsx", CHILD, ...args], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit", "pipe", "pipe"],
  });
  return child;
}

function pipeOf(process: ChildProcess, fd: number): Socket {
  return process.stdio[fd] as Socket;
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(native === undefined)("a blocked loop", () => {
  afterEach(() => {
    if (child?.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  });

  it("ends with its parent, its children and files with it", async () => {
    const folder = join(mkdtempSync(join(tmpdir(), "life-")), "session");
    mkdirSync(join(folder, "copy/of/a-folder"), { recursive: true });
    writeFileSync(join(folder, "socket"), "");
    writeFileSync(join(folder, "copy/of/a-folder/file"), "");
    const other = mkdtempSync(join(tmpdir(), "other-"));
    writeFileSync(join(other, "file"), "");
    symlinkSync(other, join(folder, "copy/link"));
    const process = start("lifeline", folder);
    let text = "";
    process.stdout?.on("data", (bytes: Buffer) => (text += bytes.toString()));
    await until(() => text.endsWith("\n"));
    const grandchild = Number(text);
    await sleep(50);
    expect(runs(grandchild)).toBe(true);
    const ended = new Promise((resolve) => void process.once("exit", resolve));
    const from = performance.now();
    pipeOf(process, 3).destroy();
    await ended;
    expect(performance.now() - from).toBeLessThan(1_000);
    expect(process.signalCode).toBe("SIGKILL");
    expect(existsSync(folder)).toBe(false);
    expect(existsSync(join(other, "file"))).toBe(true);
    rmSync(other, { recursive: true });
    await until(() => !runs(grandchild));
  });

  it.each([100, 4_000_000])("sends %i bytes that it left for later", async (size) => {
    const process = start("late-flush", String(size));
    const socket = pipeOf(process, 4);
    let received = 0;
    let correct = true;
    socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      correct &&= bytes.every((byte) => byte === 7);
    });
    await until(() => received >= size);
    expect(received).toBe(size);
    expect(correct).toBe(true);
    const ended = new Promise((resolve) => void process.once("exit", resolve));
    pipeOf(process, 3).destroy();
    await ended;
  });
});
