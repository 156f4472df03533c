// What happens when the parent process is gone, whatever this process's loop does: its children end, its files go, it ends.
//
// The addon's thread watches the pipe, so a blocked loop does not matter. Without the addon the loop itself has to.

import { rmSync } from "node:fs";
import { Socket } from "node:net";
import { native } from "../native/index.ts";
import { LIFELINE_FD, signalGroup } from "./spawner.ts";

export interface LifelineWatch {
  /** A child's process group ends with this process. */
  add(pid: number): void;
  remove(pid: number): void;
  /** An orderly end removes the same files. */
  cleanUp(): void;
}

export interface LifelineOptions {
  /** False for a daemon: it has no parent to follow. */
  readonly watched: boolean;
  /** What goes with this process: its own socket, or the session's folder. */
  readonly path: string;
}

export function watchLifeline({ watched, path }: LifelineOptions): LifelineWatch {
  const groups = new Set<number>();
  const cleanUp = () => {
    for (const pid of groups) signalGroup(pid, "SIGKILL");
    rmSync(path, { recursive: true, force: true });
  };
  native?.removeAtEnd(path);
  if (watched && native !== undefined) native.watchLifeline(LIFELINE_FD);
  if (watched && native === undefined) watchFromLoop(cleanUp);
  // Nothing else may hold the loop, and a program of the runtime ends only on purpose.
  setInterval(() => {}, KEEP_ALIVE_MS);
  return {
    add(pid) {
      groups.add(pid);
      native?.addGroup(pid);
    },
    remove(pid) {
      groups.delete(pid);
      native?.removeGroup(pid);
    },
    cleanUp,
  };
}

const KEEP_ALIVE_MS = 2 ** 30;

function watchFromLoop(cleanUp: () => void): void {
  const socket = new Socket({ fd: LIFELINE_FD, readable: true, writable: false });
  socket.resume();
  // A broken pipe closes it like an ended one.
  socket.on("error", () => {});
  socket.on("close", () => {
    cleanUp();
    process.exit(1);
  });
}
