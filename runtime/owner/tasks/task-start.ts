// Since when and where a task of this process runs, as far as this process knows without asking anybody.

import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";
import { taskState } from "../reports/state-rows.ts";

export interface TaskStart {
  readonly nodeId: string;
  readonly workerPid: number;
  /** For so many milliseconds; not less than it has. */
  readonly forMs: number;
}

/** Undefined while it is queued somewhere, and when it has ended. */
export function taskStart(session: Session, { owner, number }: ObjectEntry): TaskStart | undefined {
  const { identity, seams } = session.parts;
  const task = owner === identity.processId ? session.submission.find(number) : undefined;
  if (task === undefined || taskState(task) !== "RUNNING") return undefined;
  const { lease } = task;
  // In this process, while the task that submitted it waits.
  if (lease === undefined) return { nodeId: identity.nodeId, workerPid: process.pid, forMs: 0 };
  return { nodeId: lease.node, workerPid: lease.link.channel.peer.pid, forMs: seams.clock.now() - lease.movedAt };
}
