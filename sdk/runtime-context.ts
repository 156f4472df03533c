// What running code can learn of itself.

import { NotInitializedError } from "../runtime/errors.ts";
import { type PlacementGroup, restoreGroup } from "./placement-groups.ts";
import { resourceAmounts } from "../scheduler/index.ts";
import { findSession } from "../runtime/owner/index.ts";

export interface RuntimeContext {
  readonly jobId: string;
  readonly nodeId: string;
  readonly workerId: string;
  readonly namespace: string;
  /** Undefined in a driver's main program. */
  readonly taskId: string | undefined;
  readonly actorId: string | undefined;
  /** 0 for the first. */
  readonly attempt: number;
  /** Aborts when the task is to stop. */
  readonly signal: AbortSignal;
  isCancelled(): boolean;
  /** When it has to have ended, in milliseconds since 1970; undefined without a limit. */
  readonly deadline: number | undefined;
  readonly resources: Readonly<Record<string, number>>;
  /** The group that this runs in. */
  readonly placementGroup: PlacementGroup | undefined;
  /** True in an actor that lives again after a crash. */
  readonly restarted: boolean;
}

const NEVER = new AbortController();

/** Where this code runs: job, node, worker, task. NotInitializedError outside a cluster. */
export function getRuntimeContext(): RuntimeContext {
  const session = findSession();
  if (session === undefined) throw new NotInitializedError("there is no cluster in this process: call `await init()` first");
  const running = session.attempts.current();
  const { identity, seams: { clock } } = session.parts;
  const { nodeId, processId } = identity;
  return {
    jobId: session.jobId,
    nodeId,
    workerId: processId,
    namespace: session.namespace,
    taskId: running?.taskId,
    actorId: running?.actorId,
    attempt: running?.attempt ?? 0,
    get signal() {
      return running?.ending.signal ?? NEVER.signal;
    },
    isCancelled: () => running?.ending.reason !== undefined,
    deadline: running?.deadline === undefined ? undefined : clock.wallNow() + (running.deadline - clock.now()),
    get placementGroup() {
      const { kind, group, bundles } = running?.strategy ?? {};
      return kind === "group" ? restoreGroup(group ?? "", bundles?.map((bundle) => bundle.resources) ?? []) : undefined;
    },
    resources: resourceAmounts(running?.resources ?? {}),
    restarted: running?.restarted ?? false,
  };
}
