// What the end of a worker, a driver, a node or a job means for everything else on this node.
//
// Said once, in this order: the processes here are told, the head is, and then goes what the ended one had asked for, owned and
// created. Every one of these may be told twice.

import type { StoreHost } from "../store/index.ts";
import type { DeathCause, Peer, ProcessDied, SendOf } from "../transport/index.ts";
import type { ActorDesk } from "./actors/actor-desk.ts";
import type { AgentEnvironments } from "./agent-environments.ts";
import type { AgentJobs } from "./agent-jobs.ts";
import type { AgentLeases } from "./agent-leases.ts";
import type { AgentLogs } from "./workers/agent-logs.ts";
import type { AgentObjects } from "./objects/agent-objects.ts";
import type { HeadLink } from "./head/head-link.ts";
import type { KeptObjects } from "./objects/kept-objects.ts";
import type { LocalProcesses } from "./workers/local-processes.ts";
import type { Peers } from "./peers.ts";
import type { Relays } from "./relays.ts";
import type { StackReader } from "./reports/stack-reader.ts";
import type { PooledWorker, WorkerPool } from "./workers/worker-pool.ts";

export interface EndingsParts {
  readonly nodeId: string;
  readonly store: StoreHost;
  readonly workerEnded: (pid: number) => void;
  readonly workers: WorkerPool;
  readonly processes: LocalProcesses;
  readonly jobs: AgentJobs;
  readonly leases: AgentLeases;
  readonly desk: ActorDesk;
  readonly objects: AgentObjects;
  readonly kept: KeptObjects;
  readonly environments: AgentEnvironments;
  readonly logs: AgentLogs;
  readonly stacks: Pick<StackReader, "forget"> | undefined;
  readonly peers: Peers;
  readonly relays: Relays;
  readonly head: HeadLink;
}

export class Endings {
  readonly #parts: EndingsParts;

  constructor(parts: EndingsParts) {
    this.#parts = parts;
  }

  workerDied(worker: PooledWorker, cause: DeathCause): void {
    const { nodeId, leases, desk, environments, logs } = this.#parts;
    const { process, child } = worker;
    if (worker.host === "") this.#parts.workerEnded(child.pid);
    logs.ended(process);
    this.#parts.stacks?.forget(process);
    const died = { process, node: nodeId, cause, lease: leases.leaseOfWorker(process) ?? "", pid: child.pid };
    // Nobody elsewhere has heard of one that never came up.
    this.#tell(died, worker.channel !== undefined);
    environments.workerDied(worker, cause);
    leases.workerDied(died);
    desk.workerDied(worker, cause);
    this.#ended(process, `its creator, worker ${process}, died`);
  }

  driverGone({ processId, pid }: Peer): void {
    this.#parts.jobs.driverGone(processId);
    const text = `driver process ${pid} ended`;
    const cause = { reason: "exited", exitCode: -1, signal: "", stderrTail: [], text };
    this.#tell({ process: processId, node: this.#parts.nodeId, cause, pid }, true);
    this.#ended(processId, text);
  }

  processDiedElsewhere(died: ProcessDied): void {
    this.#tell(died, false);
    this.#parts.relays.processDiedElsewhere(died.process);
    this.#ended(died.process, `its creator, process ${died.process}, ended`);
  }

  nodeDied(node: string, reason: string): void {
    const { processes, objects, kept, leases, desk, peers } = this.#parts;
    peers.find(node)?.close("the node was declared dead");
    processes.tell("nodeDied", { node, reason });
    objects.nodeDied(node);
    kept.nodeDied(node);
    leases.nodeGone(node);
    desk.actors.endWhere((spec) => spec.ownerNode === node, `its creator's node ${node} died`);
  }

  jobEnded(jobId: string, reason: string): void {
    const { jobs, leases, environments, desk, workers, store } = this.#parts;
    jobs.ended(jobId);
    leases.jobEnded(jobId);
    environments.release(jobId);
    desk.actors.endWhere((spec) => spec.jobId === jobId, `its job ended: ${reason}`);
    desk.jobEnded(jobId);
    for (const worker of workers.all()) {
      if (worker.jobId !== jobId || worker.detachedActor) continue;
      if (worker.storeClient !== undefined) store.freeAllOf(worker.storeClient);
      workers.kill(worker.process, `its job ended: ${reason}`);
    }
    store.freeAllOf(jobs.heirOf(jobId));
  }

  /** A head that was just joined says which jobs run: the word that others have ended may have died with the one before. */
  jobsEndedWhileAway(running: readonly string[]): void {
    const live = new Set(running);
    for (const id of this.#parts.jobs.all()) if (!live.has(id)) this.jobEnded(id, "it ended while the cluster had no head");
  }

  #tell(died: SendOf<"processDied">, theHead: boolean): void {
    this.#parts.processes.tell("processDied", died);
    if (theHead) this.#parts.head.died(died);
  }

  #ended(process: string, text: string): void {
    const { leases, objects, desk } = this.#parts;
    leases.processGone(process);
    objects.ownerGone({ process });
    desk.actors.endWhere((spec) => spec.owner === process, text);
  }
}
