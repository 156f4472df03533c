// What running code can learn of itself.

import { InvalidArgumentError, NotInitializedError } from "../runtime/errors.ts";
import { type PlacementGroup, restoreGroup } from "./placement-groups.ts";
import { amountOf, resourceAmounts } from "../scheduler/index.ts";
import { findSession, sendHeartbeat } from "../runtime/owner/index.ts";
import { type Logger, loggerOf } from "./logger.ts";

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
  /** Numbers of the node's GPUs that this has, whole or in part: those that CUDA_VISIBLE_DEVICES names. */
  readonly gpuIds: readonly number[];
  /** The group that this runs in. */
  readonly placementGroup: PlacementGroup | undefined;
  /** True in an actor that lives again after a crash. */
  readonly restarted: boolean;
  /** The same in all attempts of a task or call, and of no other: for systems that are to do a thing once. */
  readonly idempotencyKey: string | undefined;
  /**
   * Larger in a later attempt of the same task, and in a later life of the same actor: a system that has seen a larger one is to
   * refuse who comes with a smaller one, which is thought dead.
   */
  readonly fencingToken: number | undefined;
  /** Writes one line of JSON, with where it comes from, to stderr: drivers show it, `troupe logs` keeps it. */
  readonly logger: Logger;
  /** Tells how far this is, from 0 to 1: `explain` and `troupe list tasks` show it. Counts as a heartbeat. */
  progress(done: number): void;
  /**
   * Tells that this gets on (see heartbeatTimeoutMs). The detail, plain data of at most 64 KiB, is what the next attempt finds as
   * `lastHeartbeat` when this one is lost.
   */
  heartbeat(detail?: unknown): void;
  /** The detail of the last heartbeat, of this attempt or an earlier one. */
  readonly lastHeartbeat: unknown;
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
    gpuIds: amountOf(running?.resources ?? {}, "GPU") > 0 ? session.attempts.gpuIds : [],
    restarted: running?.restarted ?? false,
    idempotencyKey: running?.taskId,
    fencingToken: running?.fencingToken,
    get logger() {
      const { taskId, name, actorId } = running ?? {};
      return loggerOf(clock, { jobId: session.jobId, nodeId, taskId, name, actorId });
    },
    progress(done) {
      if (!(done >= 0 && done <= 1)) {
        throw new InvalidArgumentError(`progress: expected a number from 0 to 1, not ${String(done)}`);
      }
      if (running !== undefined) sendHeartbeat(session, running, { progress: done });
    },
    heartbeat(detail) {
      if (running !== undefined) sendHeartbeat(session, running, { detail });
    },
    get lastHeartbeat() {
      const detail = running?.lastHeartbeat;
      return detail === undefined || detail.length === 0 ? undefined : session.values.decode(detail);
    },
  };
}
