// Starts the programs of Troupe as child processes, over a lifeline.
//
// Every child gets a pipe at fd 3: its configuration is the first line on it, and its end means that the parent is gone. The
// child leads a process group of its own, so that it ends with everything it started.

import { spawn } from "node:child_process";
import { StringDecoder } from "node:string_decoder";
import type { Readable, Writable } from "node:stream";
import type { ChildExit, ChildProcess, SpawnRequest, Spawner } from "./seams.ts";

export const LIFELINE_FD = 3;
/** Lines of stderr that are kept for a cause of death, and the longest line. */
const TAIL_LINES = 20;
const LINE_MAX = 64 * 1024;
const LAST_LINES_WAIT_MS = 200;

/**
 * How the inspector of a worker listens when SIGUSR1 opens it: at any free port of this machine, under a name that is told on
 * its standard error and nowhere else.
 */
const INSPECTABLE = ["--inspect-port=127.0.0.1:0", "--inspect-publish-uid=stderr"] as const;

export interface SpawnerOptions {
  /** Absolute path of a program's main file. */
  readonly mainOf: (program: SpawnRequest["program"]) => string;
  readonly started?: (pid: number) => void;
  readonly ended?: (pid: number) => void;
}

export function systemSpawner(options: SpawnerOptions): Spawner {
  return {
    spawn(request: SpawnRequest): ChildProcess {
      const nodeArgs = [...(request.program === "worker" ? INSPECTABLE : []), ...(request.nodeArgs ?? [])];
      const child = spawn(process.execPath, [...nodeArgs, options.mainOf(request.program)], {
        stdio: ["ignore", "pipe", "pipe", "pipe"],
        detached: true,
        cwd: request.folder,
        env: request.environment === undefined ? process.env : { ...process.env, ...request.environment },
      });
      const tail: string[] = [];
      let exit: ChildExit | undefined;
      const report = (found: ChildExit) => {
        if (exit !== undefined) return;
        exit = found;
        if (child.pid !== undefined) options.ended?.(child.pid);
        request.onExit(found);
      };
      readLines(child.stdout as Readable, (line) => request.onLine?.("stdout", line));
      readLines(child.stderr as Readable, (line) => {
        tail.push(line);
        if (tail.length > TAIL_LINES) tail.shift();
        request.onLine?.("stderr", line);
      });
      // "close" comes after the last line of output was read. What the child started may hold its pipes open, so its group
      // ends with it and the last lines are waited for only so long.
      child.on("exit", (code, signal) => {
        const found = { exitCode: code ?? undefined, signal: signal ?? undefined, stderrTail: tail };
        signalGroup(child.pid ?? 0, "SIGKILL");
        child.on("close", () => report(found));
        setTimeout(() => report(found), LAST_LINES_WAIT_MS).unref();
      });
      child.on("error", (error) =>
        report({ exitCode: undefined, signal: undefined, stderrTail: [`spawn failed: ${error.message}`] }),
      );
      const lifeline = child.stdio[LIFELINE_FD] as Writable;
      // A child that died before it read its configuration is reported by its exit.
      lifeline.on("error", () => {});
      readLines(lifeline as unknown as Readable, (line) => request.onReady?.(JSON.parse(line) as Record<string, unknown>));
      lifeline.write(`${JSON.stringify(request.config)}\n`);
      const pid = child.pid ?? 0;
      if (pid > 0) options.started?.(pid);
      for (const stream of [child, child.stdout, child.stderr, lifeline]) (stream as { unref?: () => void }).unref?.();
      return {
        pid,
        kill: () => signalGroup(pid, "SIGKILL"),
        signal: (name) => signalGroup(pid, name),
      };
    },
  };
}

/** To one process: what it started would die of a signal that only it knows. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  if (pid > 1) signalIfThere(pid, signal);
}

/** To the whole group; a group that is gone needs no signal. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  if (pid > 1) signalIfThere(-pid, signal);
}

function signalIfThere(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function readLines(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  const take = (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() as string;
    if (rest.length > LINE_MAX) {
      lines.push(rest);
      rest = "";
    }
    for (const line of lines) onLine(line);
  };
  stream.on("data", (chunk: Buffer) => take(decoder.write(chunk)));
  stream.on("end", () => {
    take(decoder.end());
    if (rest !== "") onLine(rest);
  });
  // The pipe ends with the child; its exit is what is reported.
  stream.on("error", () => {});
}
