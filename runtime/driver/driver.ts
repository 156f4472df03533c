// A driver: the user's program as a member of a cluster. Its job and namespace are known from the first call, so it chooses them.

import { anonymousNamespace, ANONYMOUS_BYTES, join, type Equipment, type Session } from "../owner/index.ts";
import type { Resources } from "../../scheduler/index.ts";
import type { Seams } from "../seams.ts";
import { DriverDetails, toBytes, type LogLines } from "../transport/index.ts";

const REGISTER_TIMEOUT_MS = 30_000;
const JOB_ID_BYTES = 8;

export interface DriverOptions {
  readonly seams: Seams;
  readonly agentAddress: string;
  /** Nothing is dialled before this. */
  readonly after?: Promise<void> | undefined;
  readonly token: string;
  readonly clusterId: string;
  readonly processId: string;
  readonly nodeId: string;
  readonly namespace: string;
  readonly jobName: string;
  /** What the job may hold at once of the resources in it. */
  readonly quota?: Resources | undefined;
  readonly entry: string;
  readonly onLog: (lines: LogLines) => void;
  /** Default: the system's. */
  readonly equipment?: Equipment | undefined;
}

/** A driver on its way into the cluster through an agent; it registers its job there. */
export function startDriver(options: DriverOptions): Session {
  const { seams, processId, nodeId, clusterId, token, jobName, entry, quota } = options;
  // The id tells the driver's node, so that any agent knows where the job's log lines go.
  const jobId = `job-${seams.random.hex(JOB_ID_BYTES)}-${nodeId}`;
  // A driver without a namespace has one of its own.
  const namespace = options.namespace || anonymousNamespace(seams.random.hex(ANONYMOUS_BYTES));
  const details = { jobId, namespace, jobName, entry, quota, hasQuota: quota !== undefined };
  return join({
    seams, jobId, namespace,
    identity: { kind: "driver", processId, nodeId, clusterId, token },
    agentAddress: options.agentAddress,
    after: options.after,
    equipment: options.equipment,
    details: toBytes(DriverDetails, details),
    processMessages: () => ({}),
    agentMessages: () => ({ logLines: options.onLog }),
    register: async (agent, caller) => {
      await caller.call(agent, "registerJob", { details }, "registeredJob", { timeoutMs: REGISTER_TIMEOUT_MS });
    },
  });
}
