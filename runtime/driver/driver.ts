// A driver: the user's program as a member of a cluster.

import { join, type Equipment, type Session } from "../owner/index.ts";
import type { Seams } from "../seams.ts";
import { DriverDetails, toBytes, type Identity, type LogLines } from "../transport/index.ts";

const REGISTER_TIMEOUT_MS = 30_000;

export interface DriverOptions {
  readonly seams: Seams;
  readonly agentAddress: string;
  readonly token: string;
  readonly clusterId: string;
  readonly processId: string;
  readonly nodeId: string;
  readonly namespace: string;
  readonly jobName: string;
  readonly entry: string;
  readonly onLog: (lines: LogLines) => void;
  readonly onLost: (error: Error) => void;
  /** Default: the system's. */
  readonly equipment?: Equipment | undefined;
}

/** Joins the cluster through an agent and registers a job. */
export async function startDriver(options: DriverOptions): Promise<Session> {
  const { seams, processId, nodeId, clusterId, token, namespace, jobName, entry } = options;
  const identity: Identity = { kind: "driver", processId, nodeId, clusterId, token };
  const details = { namespace, jobName, entry };
  const session = await join({
    seams,
    identity,
    agentAddress: options.agentAddress,
    equipment: options.equipment,
    details: toBytes(DriverDetails, details),
    processMessages: () => ({}),
    agentMessages: () => ({ logLines: options.onLog }),
    onLost: options.onLost,
  });
  const job = await session.ask("registerJob", { details }, "registeredJob", REGISTER_TIMEOUT_MS);
  session.jobId = job.jobId;
  session.namespace = job.namespace;
  return session;
}
