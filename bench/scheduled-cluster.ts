// A cluster in which only the scheduling is real: a lease queue for each node, owners that want leases for their tasks, messages
// and work that take virtual time. It shows what a decision costs when there are many nodes and many tasks.

import {
  type LeaseEffect, type LeaseEvent, LeaseQueue, type NodeView, parseResources, type Resources,
} from "../scheduler/index.ts";

export interface ClusterPlan {
  readonly nodes: number;
  readonly cpus: number;
  /** In all, in equal parts. */
  readonly tasks: number;
  readonly jobs: number;
  readonly ownersOfJob: number;
  readonly seed: number;
}

export interface ClusterOutcome {
  /** Milliseconds of real time of each step of a queue that decided something; those of views apart. */
  readonly decisionMs: readonly number[];
  readonly viewMs: readonly number[];
  /** Virtual time until the last task had ended, and the least that it could take. */
  readonly makespanMs: number;
  readonly idealMs: number;
  /** Virtual time at which the last task of each job had ended. */
  readonly jobEndsMs: readonly number[];
  readonly ran: number;
  /** What nodes have taken when everything is over. */
  readonly heldAtEnd: number;
}

const LOCAL_MS = 0.2;
const REMOTE_MS = 1;
const BOOT_MS = 30;
const VIEW_EVERY_MS = 20;
/** An owner orders no more at once. */
const WANTED_MAX = 1024;
const TASK_MS = [50, 150] as const;
/** CPUs of the tasks of each class. */
const SHAPES = [1, 1, 0.5, 2, 1.5] as const;

interface Node {
  readonly id: string;
  readonly queue: LeaseQueue;
  workers: number;
}

interface Class {
  readonly resources: Resources;
  readonly cpus: number;
  left: number;
  held: number;
}

interface Owner {
  readonly id: string;
  readonly job: number;
  readonly home: Node;
  readonly classes: readonly Class[];
}

export class ScheduledCluster {
  readonly #plan: ClusterPlan;
  readonly #nodes: readonly Node[];
  readonly #byId: ReadonlyMap<string, Node>;
  readonly #owners: ReadonlyMap<string, Owner>;
  readonly #agenda = new Agenda();
  readonly #decisionMs: number[] = [];
  readonly #viewMs: number[] = [];
  readonly #jobEndsMs: number[];
  /** Changed since the last view. */
  readonly #changed = new Set<Node>();
  readonly #views = new Map<Node, NodeView>();
  #random: number;
  #ran = 0;
  #cpuMs = 0;

  constructor(plan: ClusterPlan) {
    this.#plan = plan;
    this.#random = plan.seed;
    this.#nodes = Array.from({ length: plan.nodes }, (_, index) => this.#node(`n${index}`));
    this.#byId = new Map(this.#nodes.map((node) => [node.id, node]));
    this.#jobEndsMs = Array.from({ length: plan.jobs }, () => 0);
    const owners = Array.from({ length: plan.jobs * plan.ownersOfJob }, (_, index) => this.#owner(index));
    this.#owners = new Map(owners.map((owner) => [owner.id, owner]));
    for (const node of this.#nodes) this.#changed.add(node);
  }

  run(): ClusterOutcome {
    this.#tellViews();
    for (const owner of this.#owners.values()) for (const index of owner.classes.keys()) this.#order(owner, index);
    while (this.#ran < this.#plan.tasks) {
      if (!this.#agenda.next()) throw new Error(`${this.#plan.tasks - this.#ran} tasks wait and nothing happens any more`);
    }
    const makespanMs = this.#agenda.now;
    for (let left = 100_000; left > 0 && this.#agenda.next(); left -= 1);
    const heldAtEnd = this.#nodes.reduce((sum, { queue: { pool } }) => sum + pool.total.CPU - pool.available.CPU, 0);
    const { nodes, cpus } = this.#plan;
    return {
      decisionMs: this.#decisionMs, viewMs: this.#viewMs, makespanMs, idealMs: this.#cpuMs / (nodes * cpus),
      jobEndsMs: this.#jobEndsMs, ran: this.#ran, heldAtEnd,
    };
  }

  #node(id: string): Node {
    let leases = 0;
    const total = amounts({ CPU: this.#plan.cpus });
    const options = { nodeId: id, total, labels: {}, nextLease: () => `${id}-${leases += 1}`, nextRandom: () => this.#draw() };
    return { id, queue: new LeaseQueue(options), workers: 0 };
  }

  #owner(index: number): Owner {
    const { jobs, ownersOfJob, nodes, tasks } = this.#plan;
    const share = tasks / (jobs * ownersOfJob * SHAPES.length);
    const home = this.#nodes[Math.floor((index * nodes) / (jobs * ownersOfJob))];
    const classes = SHAPES.map((cpus) => ({ resources: amounts({ CPU: cpus }), cpus, left: share, held: 0 }));
    return { id: `o${index}`, job: index % jobs, home, classes };
  }

  /** In [0, 1): a linear congruence is random enough. */
  #draw(): number {
    this.#random = (this.#random * 1_103_515_245 + 12_345) % 2_147_483_648;
    return this.#random / 2_147_483_648;
  }

  // -- nodes -------------------------------------------------------------------------------------------------------

  #step(node: Node, ...events: LeaseEvent[]): void {
    const started = performance.now();
    const effects = node.queue.step(...events);
    const isView = events[0].kind === "viewChanged";
    (isView ? this.#viewMs : this.#decisionMs).push(performance.now() - started);
    if (!isView || effects.length > 0) this.#changed.add(node);
    for (const effect of effects) this.#do(node, effect);
  }

  #do(node: Node, effect: LeaseEffect): void {
    switch (effect.kind) {
      case "startWorker": {
        const worker = `${node.id}w${node.workers += 1}`;
        const { jobId, environment } = effect;
        this.#step(node, { kind: "workerStarting", worker });
        return this.#agenda.in(BOOT_MS, () => this.#step(node, { kind: "workerReady", worker, jobId, environment }));
      }
      case "stopWorker":
        return this.#agenda.in(LOCAL_MS, () => this.#step(node, { kind: "workerDied", worker: effect.worker }));
      case "grant":
        return this.#granted(node, effect.origin, effect.schedulingClass, effect.lease);
      case "forward": {
        const there = this.#byId.get(effect.node) as Node;
        return this.#agenda.in(REMOTE_MS, () => this.#step(there, { kind: "requested", ...effect.request }));
      }
      case "refuse": {
        const { origin, schedulingClass, text } = effect;
        const { home } = this.#owners.get(origin) as Owner;
        if (home === node) throw new Error(text);
        const refused = { kind: "forwardRefused", node: node.id, origin, schedulingClass } as const;
        return this.#agenda.in(REMOTE_MS, () => this.#step(home, refused));
      }
      case "armSlice":
        return this.#agenda.in(effect.ms, () => this.#step(node, { kind: "sliceElapsed" }));
      default:
        // Leases come back after one task, asked for or not.
    }
  }

  #tellViews(): void {
    for (const { id, queue } of this.#changed) {
      const { total, available } = queue.pool;
      const node = this.#byId.get(id) as Node;
      this.#views.set(node, {
        id, state: "ALIVE", total: { ...total }, available: { ...available }, labels: {}, backlog: queue.backlog,
      });
    }
    this.#changed.clear();
    const nodes = [...this.#views.values()];
    // Others have no use for it.
    const homes = new Set([...this.#owners.values()].map(({ home }) => home));
    for (const home of homes) this.#step(home, { kind: "viewChanged", nodes });
    if (this.#ran < this.#plan.tasks) this.#agenda.in(VIEW_EVERY_MS, () => this.#tellViews());
  }

  // -- owners ------------------------------------------------------------------------------------------------------

  #order({ id, job, home, classes }: Owner, schedulingClass: number, ...before: LeaseEvent[]): void {
    const { resources, left, held } = classes[schedulingClass];
    this.#step(home, ...before, {
      kind: "requested", origin: id, schedulingClass, resources, wanted: held + Math.min(left, Math.max(0, WANTED_MAX - held)),
      strategy: undefined, jobId: `j${job}`, environment: "", name: "f", hops: 0, graceMs: Infinity,
    });
  }

  #granted(node: Node, origin: string, schedulingClass: number, lease: string): void {
    const owner = this.#owners.get(origin) as Owner;
    const { home, classes } = owner;
    const kind = classes[schedulingClass];
    kind.held += 1;
    const isAway = node !== home;
    if (isAway) {
      const granted = { kind: "forwardGranted", node: node.id, lease, origin, schedulingClass } as const;
      this.#agenda.in(REMOTE_MS, () => this.#step(home, granted));
    }
    const works = kind.left > 0;
    const [least, most] = TASK_MS;
    const ms = works ? least + this.#draw() * (most - least) : 0;
    kind.left -= works ? 1 : 0;
    this.#cpuMs += ms * kind.cpus;
    this.#agenda.in(ms + 2 * (isAway ? REMOTE_MS : LOCAL_MS), () => {
      kind.held -= 1;
      if (works) this.#ended(owner.job);
      this.#order(owner, schedulingClass, { kind: "leaseReturned", lease });
      if (isAway) this.#agenda.in(REMOTE_MS, () => this.#step(node, { kind: "leaseReturned", lease }));
    });
  }

  #ended(job: number): void {
    this.#ran += 1;
    this.#jobEndsMs[job] = this.#agenda.now;
  }
}

function amounts(given: Record<string, number>): Resources {
  const parsed = parseResources(given);
  if ("text" in parsed) throw new Error(parsed.text);
  return parsed.resources;
}

interface Entry {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

/** What is to happen, by virtual time: a binary heap. */
class Agenda {
  readonly #heap: Entry[] = [];
  #order = 0;
  now = 0;

  in(ms: number, act: () => void): void {
    const heap = this.#heap;
    const entry = { at: this.now + ms, order: this.#order += 1, act };
    let at = heap.push(entry) - 1;
    while (at > 0 && isBefore(entry, heap[(at - 1) >> 1])) {
      heap[at] = heap[(at - 1) >> 1];
      at = (at - 1) >> 1;
    }
    heap[at] = entry;
  }

  /** False when there is nothing to do. */
  next(): boolean {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) return false;
    if (heap.length > 0) this.#sink(last);
    this.now = first.at;
    first.act();
    return true;
  }

  #sink(entry: Entry): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], entry)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = entry;
  }
}

function isBefore(left: Entry, right: Entry): boolean {
  return left.at < right.at || (left.at === right.at && left.order < right.order);
}
