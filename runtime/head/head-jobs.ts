// Jobs: one a driver. A job ends with its driver, and everything that belongs to it ends with the job.

import { resourceAmounts, type Resources } from "../../scheduler/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import type { RegisterJob } from "../transport/index.ts";
import type { HeadRecords, Kept } from "./head-records.ts";

interface Job {
  readonly id: string;
  /** In the order of their beginnings, under all heads. */
  readonly number: number;
  readonly namespace: string;
  readonly name: string;
  readonly entry: string;
  /** What it may hold at once; undefined: all there is. */
  readonly quota: Resources | undefined;
  readonly process: string;
  /** Whose agent its driver is at. */
  readonly node: string;
  /** What the driver calls its node: another when it shares no memory with that agent. */
  readonly driverNode: string;
  state: "RUNNING" | "ENDED";
  reason: string;
}

const ENDED_JOBS_KEPT = 1000;

/** What agents are told of a job. */
interface JobNews {
  readonly jobId: string;
  readonly namespace: string;
  readonly driverNode: string;
  readonly home: string;
  readonly quota?: Resources | undefined;
  readonly hasQuota: boolean;
}

export class HeadJobs {
  readonly #records: HeadRecords;
  readonly #jobs = new Map<string, Job>();
  #last: number;
  #kept: Kept;

  constructor(records: HeadRecords) {
    this.#records = records;
    const known = [...records.all("job")].map(([, bytes]) => JSON.parse(Buffer.from(bytes).toString()) as Job);
    for (const job of known.sort((one, other) => one.number - other.number)) this.#jobs.set(job.id, job);
    this.#last = known.at(-1)?.number ?? 0;
  }

  /** Of the last change. */
  get kept(): Kept {
    return this.#kept;
  }

  /** Under the id and namespace that the driver chose. A repeat by the same process changes nothing. */
  register({ details, processId, nodeId, driverNode }: RegisterJob): JobNews {
    const { jobId = "", namespace = "", jobName = "", entry = "", quota, hasQuota = false } = details ?? {};
    if (jobId === "" || namespace === "") throw new InvalidArgumentError("a job is registered with its id and namespace");
    const known = this.#jobs.get(jobId);
    if (known !== undefined && known.process !== processId) {
      throw new InvalidArgumentError(`job ${jobId} is registered by another process`);
    }
    if (known !== undefined) return newsOf(known);
    const job: Job = {
      id: jobId,
      number: ++this.#last,
      namespace,
      name: jobName,
      entry,
      quota: hasQuota ? quota : undefined,
      process: processId,
      node: nodeId,
      driverNode: driverNode || nodeId,
      state: "RUNNING",
      reason: "",
    };
    this.#jobs.set(jobId, job);
    this.#keep(job);
    return newsOf(job);
  }

  /** Told to agents that join later. */
  running(): JobNews[] {
    return [...this.#jobs.values()].filter((job) => job.state === "RUNNING").map(newsOf);
  }

  isRunning(id: string): boolean {
    return this.#jobs.get(id)?.state === "RUNNING";
  }

  ofProcess(process: string): string | undefined {
    return [...this.#jobs.values()].find((job) => job.process === process && job.state === "RUNNING")?.id;
  }

  /** Jobs whose drivers are at the node. */
  ofNode(node: string): { readonly id: string; readonly driverNode: string }[] {
    return [...this.#jobs.values()].filter((job) => job.node === node && job.state === "RUNNING");
  }

  /** True the first time. */
  end(id: string, reason: string): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined || job.state === "ENDED") return false;
    job.state = "ENDED";
    job.reason = reason;
    this.#keep(job);
    const ended = [...this.#jobs.values()].filter((one) => one.state === "ENDED");
    if (ended.length > ENDED_JOBS_KEPT) {
      this.#jobs.delete(ended[0].id);
      this.#records.keep("job", ended[0].id, undefined);
    }
    return true;
  }

  #keep(job: Job): void {
    this.#kept = this.#records.keep("job", job.id, Buffer.from(JSON.stringify(job)));
  }

  /** For the state API. */
  rows(): object[] {
    return [...this.#jobs.values()].map(({ id, name, namespace, state, node, entry, reason, quota }) => (
      { id, name, namespace, state, nodeId: node, entry, reason, quota: quota && resourceAmounts(quota) }
    ));
  }
}

function newsOf({ id, namespace, driverNode, node, quota }: Job): JobNews {
  return { jobId: id, namespace, driverNode, home: node, quota, hasQuota: quota !== undefined };
}
