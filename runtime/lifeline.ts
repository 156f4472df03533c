// What happens when the parent process is gone, whatever this process's loop does: its children end, its files go, it ends.

import { Socket } from "node:net";
import { rmSync } from "node:fs";
import { LIFELINE_FD, signalGroup } from "./spawner.ts";

export interface LifelineWatch {
  /** A child's process group ends with this process. */
  add(pid: number): void;
  remove(pid: number): void;
  /** An orderly end removes the same files. */
  cleanUp(): void;
}

export function watchLifeline(options: { watched: boolean; sessionDir: string; socket?: string }): LifelineWatch {
  const pids = new Set<number>();
  const cleanUp = () => {
    for (const pid of pids) signalGroup(pid, "SIGKILL");
    rmSync(options.socket ?? options.sessionDir, { recursive: true, force: true });
  };
  if (options.watched) {
    const socket = new Socket({ fd: LIFELINE_FD, readable: true, writable: true });
    socket.resume();
    socket.on("error", () => {});
    socket.on("close", () => {
      cleanUp();
      process.exit(1);
    });
  }
  return { add: (pid) => void pids.add(pid), remove: (pid) => void pids.delete(pid), cleanUp };
}
