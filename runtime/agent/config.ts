// What an agent is told when it starts: the first line at its lifeline.

import type { WorkerEnvironment } from "../environment/index.ts";

export interface AgentConfig {
  readonly clusterId: string;
  readonly token: string;
  readonly nodeId: string;
  readonly processId: string;
  readonly sessionDir: string;
  /**
   * embedded: in this process (private clusters). child: a process of its own, which is started again when it dies. Else the
   * head's address.
   */
  readonly head: "embedded" | "child" | { readonly address: string };
  /** Where a head process keeps what outlives it: a folder, or "" for one that goes with the node. */
  readonly storage?: string;
  /** Where other agents and remote drivers dial: `tcp:host:port`; "" for nowhere. */
  readonly listen: string;
  /** Where its metrics are told, on loopback; default any free port. False: nowhere. */
  readonly metricsPort?: number | false | undefined;
  /** The parent's end is this node's end. */
  readonly lifeline: boolean;
  /** A start that fails is told at the lifeline as `{ failed: Failure }`, for a parent that shows it to people. */
  readonly reportsFailure?: boolean;
  /** A test may break things inside: kill the head and keep it from being started again, and lose frames from and to nodes. */
  readonly disturbable?: boolean;
  /** Allows plain text to and from other machines. */
  readonly trustedNetwork?: boolean;
  readonly node: {
    /** Fixed point, 1/10000. */
    readonly total: Readonly<Record<string, number>>;
    readonly labels: Readonly<Record<string, string>>;
    /** Bytes. */
    readonly objectStoreMemory: number;
    /** Where objects go that the store has no room for: undefined for the session's folder, false for nowhere. */
    readonly spillFolder?: string | false | undefined;
    readonly host: string;
    /** Processes to start before anybody asks. */
    readonly warmWorkers: number;
  };
}

export interface WorkerConfig {
  readonly clusterId: string;
  readonly token: string;
  readonly nodeId: string;
  readonly processId: string;
  readonly sessionDir: string;
  /** What it is started in; undefined for a worker of any job. */
  readonly environment?: WorkerEnvironment | undefined;
}

/** What a worker with a setupHook says at its lifeline when that has run. */
export interface WorkerReport {
  /** Why it can take no work; it ends then. */
  readonly setupFailure?: string | undefined;
}

export interface HeadConfig {
  /** Node of its agent: where relays find it. */
  readonly nodeId: string;
  readonly clusterId: string;
  readonly token: string;
  readonly processId: string;
  readonly sessionDir: string;
  readonly listen: string;
  /** Folder of what outlives it. */
  readonly storage: string;
  /** What it keeps outlives the machine too. */
  readonly storageSynced: boolean;
}
