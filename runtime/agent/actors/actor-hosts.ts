// Worker processes that hold many actors: the shell of core/host-book.ts.
//
// A host is a worker that was leased like an actor's and holds nothing itself; what its actors hold, the lease queue counts.

import { HostBook, type Host, type HostLimits } from "../../core/index.ts";
import type { Clock, Random } from "../../seams.ts";
import type { ActorSpec } from "../../transport/index.ts";
import type { AgentLeases, PlacedSpec } from "../agent-leases.ts";
import type { WorkerPool } from "../workers/worker-pool.ts";

/** A host whose loop has not turned for so long is passed over. */
const BLOCKED_MS = 10_000;
/** A host that nobody is in ends after so long. */
const EMPTY_MS = 10_000;
/** The next host after one that died young waits, ever longer. */
const YOUNG_MS = 10_000;
const WAIT_FIRST_MS = 100;
const WAIT_MOST_MS = 30_000;

export interface ActorHostsParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly nodeId: string;
  readonly cpus: number;
  readonly leases: () => Pick<AgentLeases, "placeActor" | "actorPlaced" | "actorGone">;
  readonly workers: Pick<WorkerPool, "get" | "hosts" | "kill">;
  /** Milliseconds since the loop of a client of the store last turned. */
  readonly turnAgeMs: (storeClient: number) => number;
  readonly limits: Pick<HostLimits, "actorsPerHost" | "actorsBeforeNext">;
  /** The actor's host is there. */
  readonly seated: (spec: ActorSpec, worker: string) => void;
  readonly refused: (actor: string, error: Error) => void;
}

export class ActorHosts {
  readonly #parts: ActorHostsParts;
  readonly #book: HostBook;
  readonly #startedAt = new Map<string, number>();
  /** Actors whose hosts start. */
  readonly #waiting = new Map<string, ActorSpec>();
  /** Waits of kinds whose hosts died young. */
  readonly #waits = new Map<string, number>();

  constructor(parts: ActorHostsParts) {
    this.#parts = parts;
    this.#book = new HostBook({ ...parts.limits, cpus: parts.cpus });
  }

  /** There is room for the actor on this node: `seated` follows when its host is there. */
  seat(spec: ActorSpec): void {
    const { random, clock, seated } = this.#parts;
    const kind = JSON.stringify([spec.jobId, spec.environment, spec.detached]);
    const { host, isNew } = this.#book.seat(spec.actor, kind, () => `host-${random.hex(8)}`, (one) => this.#turns(one));
    if (host.worker !== undefined) {
      this.#mark(host, spec);
      return seated(spec, host.worker);
    }
    this.#waiting.set(spec.actor, spec);
    if (isNew) {
      const waitMs = this.#waits.get(kind) ?? 0;
      if (waitMs === 0) this.#start(host, spec);
      else clock.after(waitMs, () => this.#start(host, spec));
    }
  }

  leave(actor: string): void {
    this.#waiting.delete(actor);
    const host = this.#book.ofActor(actor);
    const isEmpty = this.#book.leave(actor) !== undefined;
    if (host === undefined) return;
    const pooled = host.worker === undefined ? undefined : this.#parts.workers.get(host.worker);
    // Code is fetched in the name of a detached actor that lives.
    if (pooled?.actor === actor && !isEmpty) pooled.actor = [...host.actors][0];
    if (isEmpty) this.#parts.clock.after(EMPTY_MS, () => this.#endEmpty(host));
  }

  isHost(id: string): boolean {
    return this.#book.get(id) !== undefined;
  }

  granted(id: string, worker: string): void {
    const host = this.#book.get(id) as Host;
    const { leases, workers, seated, clock } = this.#parts;
    host.worker = worker;
    this.#startedAt.set(id, clock.now());
    leases().actorPlaced(id, {});
    workers.hosts(worker, [...host.actors][0] ?? id, isDetached(host));
    for (const actor of [...host.actors]) {
      const spec = this.#waiting.get(actor);
      this.#waiting.delete(actor);
      if (spec !== undefined) seated(spec, worker);
    }
  }

  refused(id: string, error: Error): void {
    const { actors } = this.#book.get(id) as Host;
    this.#book.gone(id);
    for (const actor of actors) {
      this.#waiting.delete(actor);
      this.#parts.refused(actor, error);
    }
  }

  workerDied(process: string): void {
    const host = this.#book.ofWorker(process);
    if (host === undefined) return;
    const { clock, leases } = this.#parts;
    const livedMs = clock.now() - (this.#startedAt.get(host.id) ?? 0);
    const before = this.#waits.get(host.kind) ?? 0;
    if (livedMs >= YOUNG_MS) this.#waits.delete(host.kind);
    else this.#waits.set(host.kind, Math.min(WAIT_MOST_MS, before === 0 ? WAIT_FIRST_MS : before * 2));
    this.#forget(host);
    leases().actorGone(host.id);
  }

  jobEnded(jobId: string): void {
    for (const kind of [...this.#waits.keys()]) if ((JSON.parse(kind) as string[])[0] === jobId) this.#waits.delete(kind);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** One whose loop is blocked takes no more actors. */
  #turns({ worker }: Host): boolean {
    const client = worker === undefined ? undefined : this.#parts.workers.get(worker)?.storeClient;
    const ageMs = client === undefined ? 0 : this.#parts.turnAgeMs(client);
    // It may not have opened the store yet.
    return ageMs < BLOCKED_MS || ageMs === Number.MAX_SAFE_INTEGER;
  }

  #start({ id }: Host, { jobId, environment, infeasibleGraceMs }: ActorSpec): void {
    if (!this.isHost(id)) return;
    const { nodeId } = this.#parts;
    const strategy = { kind: "node", node: nodeId, soft: false, labels: {}, group: "", bundle: 0, capture: false, bundles: [] };
    const className = "host of shared actors";
    const host: PlacedSpec = {
      actor: id, className, placement: {}, strategy, jobId, environment, infeasibleGraceMs, isolation: "",
    };
    this.#parts.leases().placeActor(host);
  }

  #mark({ worker }: Host, { actor, detached }: ActorSpec): void {
    if (detached) this.#parts.workers.hosts(worker as string, actor, true);
  }

  #endEmpty(host: Host): void {
    if (this.#book.get(host.id) !== host || host.actors.size > 0) return;
    this.#forget(host);
    this.#parts.leases().actorGone(host.id);
    if (host.worker !== undefined) this.#parts.workers.kill(host.worker, "no actor is left in it");
  }

  #forget(host: Host): void {
    this.#book.gone(host.id);
    this.#startedAt.delete(host.id);
  }
}

function isDetached({ kind }: Host): boolean {
  return (JSON.parse(kind) as [string, string, boolean])[2];
}
