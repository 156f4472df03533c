// Jobs: one a driver. A job ends with its driver, and everything that belongs to it ends with the job.

import type { Random } from "../seams.ts";
import type { RegisterJob } from "../transport/index.ts";

interface Job {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly entry: string;
  readonly process: string;
  readonly node: string;
  state: "RUNNING" | "ENDED";
  reason: string;
}

const ENDED_JOBS_KEPT = 1000;

export class HeadJobs {
  readonly #random: Random;
  readonly #jobs = new Map<string, Job>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** A repeat by the same process gets the same job. */
  register({ details, processId, nodeId }: RegisterJob): { jobId: string; namespace: string } {
    const known = [...this.#jobs.values()].find((job) => job.process === processId);
    if (known !== undefined) return { jobId: known.id, namespace: known.namespace };
    // The id tells the driver's node, so that any agent knows where the job's log lines go.
    const id = `job-${this.#random.hex(4)}-${nodeId}`;
    // A driver without a namespace has one of its own.
    const namespace = details?.namespace || `ns-${this.#random.hex(8)}`;
    const job: Job = {
      id,
      namespace,
      name: details?.jobName ?? "",
      entry: details?.entry ?? "",
      process: processId,
      node: nodeId,
      state: "RUNNING",
      reason: "",
    };
    this.#jobs.set(id, job);
    return { jobId: id, namespace };
  }

  /** Told to agents that join later. */
  running(): { jobId: string; namespace: string }[] {
    return [...this.#jobs.values()]
      .filter((job) => job.state === "RUNNING")
      .map(({ id, namespace }) => ({ jobId: id, namespace }));
  }

  ofProcess(process: string): string | undefined {
    return [...this.#jobs.values()].find((job) => job.process === process && job.state === "RUNNING")?.id;
  }

  ofNode(node: string): string[] {
    return [...this.#jobs.values()].filter((job) => job.node === node && job.state === "RUNNING").map((job) => job.id);
  }

  /** True the first time. */
  end(id: string, reason: string): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined || job.state === "ENDED") return false;
    job.state = "ENDED";
    job.reason = reason;
    const ended = [...this.#jobs.values()].filter((one) => one.state === "ENDED");
    if (ended.length > ENDED_JOBS_KEPT) this.#jobs.delete(ended[0].id);
    return true;
  }

  /** For the state API. */
  rows(): object[] {
    return [...this.#jobs.values()].map(({ id, name, namespace, state, node, entry, reason }) => (
      { id, name, namespace, state, nodeId: node, entry, reason }
    ));
  }
}
