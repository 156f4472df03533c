// The worker processes of one node: who is free for whom, and whether one more may be started.
//
// A worker belongs to one (job, environment) for life; a blank one may be given to any job, for work without an environment.
// Starts are bounded three times: as many boot at once as there are CPUs (a boot takes a whole one); beyond the running ones
// only 2 a CPU stand in for suspended leases, except that when nothing runs one more may always start, so that waiting work
// cannot wait for itself; and never more than `workersMax` in all. Actors are exempt from the last two, and those that hold no
// CPU do not count.

import { assert } from "./assert.ts";

export type WorkerState = "starting" | "idle" | "leased" | "actor" | "leaving";

export interface Worker {
  readonly id: string;
  jobId: string | undefined;
  environment: string | undefined;
  state: WorkerState;
  /** Key of the start it answers; undefined once it is ready. */
  bootKey: string | undefined;
  /** False for an actor without CPU: it does not count against the cap. */
  counted: boolean;
  suspended: boolean;
  /** It has run tasks, and may own what they made: it is no actor's, with whom it would end. */
  used: boolean;
}

export interface RosterLimits {
  /** Whole CPUs of the node, at least 1. */
  readonly cpus: number;
  readonly workersMax: number;
}

/** Workers that stand in for suspended leases, for each CPU. */
export const STANDINS_PER_CPU = 2;

/** Workers in a row that may die before they are ready until those who wait for one are told. */
export const BOOT_FAILURES_MAX = 3;

/** Key of a worker that belongs to nobody yet. */
const BLANK = "";

export class WorkerRoster {
  readonly workers = new Map<string, Worker>();
  readonly #limits: RosterLimits;
  /** Idle workers by key, longest idle first. */
  readonly #idle = new Map<string, Worker[]>();
  /** Starts that were asked for and not yet answered, oldest first. */
  readonly #requested: string[] = [];
  /** Processes that boot, asked-for ones included, by key. */
  readonly #booting = new Map<string, number>();
  /** Of those, how many this pass counts on already. */
  readonly #claimed = new Map<string, number>();
  readonly #bootFailures = new Map<string, number>();
  #bootingTotal = 0;
  #counted = 0;
  #suspended = 0;
  #running = 0;
  #leaving = 0;

  constructor(limits: RosterLimits) {
    assert(limits.cpus >= 1 && limits.workersMax >= 1, "a node has at least one CPU and one worker");
    this.#limits = limits;
  }

  get booting(): number {
    return this.#bootingTotal;
  }

  // -- what happens to processes -----------------------------------------------------------------------------------

  starting(id: string): void {
    if (this.workers.has(id)) return;
    const asked = this.#requested.shift();
    const bootKey = asked ?? BLANK;
    if (asked === undefined) this.#countBoot(BLANK, 1);
    this.#add(blank(id, bootKey));
  }

  ready(id: string, jobId: string | undefined, environment: string | undefined): void {
    const known = this.workers.get(id);
    if (known !== undefined && known.state !== "starting") return;
    const worker = known ?? blank(id, undefined);
    if (known === undefined) this.#add(worker);
    if (worker.bootKey !== undefined) {
      this.#countBoot(worker.bootKey, -1);
      this.#bootFailures.delete(worker.bootKey);
    }
    worker.bootKey = undefined;
    worker.jobId = jobId;
    worker.environment = environment;
    this.#setIdle(worker);
  }

  /** One that was started with this key died before it was ready. True when too many in a row did. */
  bootFailed(bootKey: string): boolean {
    const failures = (this.#bootFailures.get(bootKey) ?? 0) + 1;
    if (failures < BOOT_FAILURES_MAX) this.#bootFailures.set(bootKey, failures);
    else this.#bootFailures.delete(bootKey);
    return failures === BOOT_FAILURES_MAX;
  }

  /** The worker as it was, or undefined when it is not known. */
  died(id: string): Worker | undefined {
    const worker = this.workers.get(id);
    if (worker === undefined) return undefined;
    if (worker.bootKey !== undefined) this.#countBoot(worker.bootKey, -1);
    this.suspend(worker, false);
    if (worker.state === "idle") this.#removeIdle(worker);
    if (worker.state === "leased") this.#running -= 1;
    if (worker.state === "leaving") this.#leaving -= 1;
    if (worker.counted) this.#counted -= 1;
    this.workers.delete(id);
    return worker;
  }

  // -- leasing -----------------------------------------------------------------------------------------------------

  /** An idle worker of this job and environment, else a blank one; the most recently used first: its caches are warm. */
  take(
    jobId: string, environment: string, forActor: boolean,
  ): { readonly worker: Worker; readonly wasBlank: boolean } | undefined {
    for (const at of keysFor(jobId, environment)) {
      const worker = this.#idle.get(at)?.findLast(({ used }) => !forActor || !used);
      if (worker === undefined) continue;
      this.#removeIdle(worker);
      worker.used ||= !forActor;
      const wasBlank = worker.jobId === undefined;
      worker.jobId = jobId;
      worker.environment = environment;
      worker.state = "leased";
      this.#running += 1;
      return { worker, wasBlank };
    }
    return undefined;
  }

  /** The lease is over. */
  giveBack(worker: Worker): void {
    assert(worker.state === "leased", `worker ${worker.id} given back while ${worker.state}`);
    this.suspend(worker, false);
    this.#running -= 1;
    this.#setIdle(worker);
  }

  becomeActor(worker: Worker, holdsCpu: boolean): void {
    assert(worker.state === "leased", `worker ${worker.id} became an actor while ${worker.state}`);
    this.suspend(worker, false);
    this.#running -= 1;
    worker.state = "actor";
    if (holdsCpu) return;
    worker.counted = false;
    this.#counted -= 1;
  }

  suspend(worker: Worker, suspended: boolean): void {
    if (worker.suspended === suspended) return;
    worker.suspended = suspended;
    this.#suspended += suspended ? 1 : -1;
    if (worker.state === "leased") this.#running += suspended ? -1 : 1;
  }

  // -- starting ----------------------------------------------------------------------------------------------------

  /** A new pass over the waiting orders: nothing that boots is counted on yet. */
  beginPass(): void {
    this.#claimed.clear();
  }

  /** Counts on a worker that boots already; false when all of them are counted on. */
  claimBooting(jobId: string, environment: string): boolean {
    for (const key of keysFor(jobId, environment)) {
      const claimed = this.#claimed.get(key) ?? 0;
      if ((this.#booting.get(key) ?? 0) <= claimed) continue;
      this.#claimed.set(key, claimed + 1);
      return true;
    }
    return false;
  }

  mayStart(forActor: boolean): boolean {
    const { cpus } = this.#limits;
    if (this.#bootingTotal >= cpus) return false;
    if (forActor) return true;
    if (this.#full) return false;
    return this.#suspended < STANDINS_PER_CPU * cpus || this.#running + this.#bootingTotal === 0;
  }


  startRequested(jobId: string, environment: string): void {
    const key = workerKey(jobId, environment);
    this.#requested.push(key);
    this.#countBoot(key, 1);
    this.#claimed.set(key, (this.#claimed.get(key) ?? 0) + 1);
  }

  /** At the cap, one idle worker of somebody else goes out of service to make room; one at a time. */
  evict(): Worker | undefined {
    if (this.#leaving > 0 || !this.#full) return undefined;
    for (const group of this.#idle.values()) {
      return this.retire(group[0].id);
    }
    return undefined;
  }

  /** An idle worker goes out of service; any other stays. */
  retire(id: string): Worker | undefined {
    const worker = this.workers.get(id);
    if (worker?.state !== "idle") return undefined;
    this.#removeIdle(worker);
    worker.state = "leaving";
    this.#leaving += 1;
    return worker;
  }

  /** Whether a start with that key was for this job and environment, or for anyone. */
  isKeyOf(bootKey: string, jobId: string, environment: string): boolean {
    return keysFor(jobId, environment).includes(bootKey);
  }

  validate(): void {
    const workers = [...this.workers.values()];
    const count = (test: (worker: Worker) => boolean): number => workers.filter(test).length;
    assert(this.#counted === count((worker) => worker.counted), "count of workers");
    assert(this.#suspended === count((worker) => worker.suspended), "count of suspended workers");
    assert(this.#leaving === count((worker) => worker.state === "leaving"), "count of leaving workers");
    assert(this.#running === count((worker) => worker.state === "leased" && !worker.suspended), "count of running workers");
    const booting = count((worker) => worker.bootKey !== undefined) + this.#requested.length;
    assert(this.#bootingTotal === booting, "count of booting workers");
    assert([...this.#booting.values()].every((boots) => boots > 0), "booting workers by key");
    const idle = [...this.#idle.values()].flat();
    assert(idle.length === count((worker) => worker.state === "idle"), "count of idle workers");
    assert(idle.every((worker) => worker.state === "idle"), "an idle worker that is not");
    assert(count((worker) => worker.suspended && worker.state !== "leased") === 0, "suspended without a lease");
  }

  get #full(): boolean {
    return this.#counted + this.#requested.length >= this.#limits.workersMax;
  }

  #add(worker: Worker): void {
    this.workers.set(worker.id, worker);
    this.#counted += 1;
  }

  #setIdle(worker: Worker): void {
    worker.state = "idle";
    const key = workerKey(worker.jobId, worker.environment);
    const group = this.#idle.get(key);
    if (group === undefined) this.#idle.set(key, [worker]);
    else group.push(worker);
  }

  #removeIdle(worker: Worker): void {
    const key = workerKey(worker.jobId, worker.environment);
    const group = this.#idle.get(key) ?? [];
    const at = group.indexOf(worker);
    assert(at >= 0, `idle worker ${worker.id} is in no group`);
    group.splice(at, 1);
    if (group.length === 0) this.#idle.delete(key);
  }

  #countBoot(key: string, by: number): void {
    this.#bootingTotal += by;
    const boots = (this.#booting.get(key) ?? 0) + by;
    if (boots === 0) this.#booting.delete(key);
    else this.#booting.set(key, boots);
  }
}

/** What a lease can use, best first. A process is started in its environment: a blank one can't adopt any. */
function keysFor(jobId: string, environment: string): readonly string[] {
  const own = workerKey(jobId, environment);
  return environment === "" ? [own, BLANK] : [own];
}

/** Ids hold no line break. */
function workerKey(jobId: string | undefined, environment: string | undefined): string {
  return jobId === undefined && environment === undefined ? BLANK : `${jobId ?? ""}\n${environment ?? ""}`;
}

function blank(id: string, bootKey: string | undefined): Worker {
  return {
    id, bootKey, jobId: undefined, environment: undefined, state: "starting", counted: true, suspended: false, used: false,
  };
}
