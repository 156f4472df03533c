// Which host process takes the next actor of those that share one.
//
// Pure. A host holds actors of one kind: one job, one environment, all detached or none. As many hosts as the node has CPUs share
// the load; each takes at most so many actors, and only when all are full there are more. A host that nobody is in is ended
// after a while.

export interface HostLimits {
  readonly actorsPerHost: number;
  /** Actors in every host before another CPU gets one. */
  readonly actorsBeforeNext: number;
  readonly cpus: number;
}

export interface Host {
  readonly id: string;
  readonly kind: string;
  readonly actors: Set<string>;
  /** Its process; undefined while it starts. */
  worker: string | undefined;
}

export class HostBook {
  readonly #limits: HostLimits;
  readonly #hosts = new Map<string, Host>();
  readonly #hostOf = new Map<string, Host>();

  constructor(limits: HostLimits) {
    this.#limits = limits;
  }

  get(id: string): Host | undefined {
    return this.#hosts.get(id);
  }

  ofActor(actor: string): Host | undefined {
    return this.#hostOf.get(actor);
  }

  ofWorker(worker: string): Host | undefined {
    for (const host of this.#hosts.values()) if (host.worker === worker) return host;
    return undefined;
  }

  /** A seat in a host that takes it; `id` names a new one, if there has to be one. A repeat changes nothing. */
  seat(
    actor: string, kind: string, id: () => string, takes: (host: Host) => boolean = () => true,
  ): { readonly host: Host; readonly isNew: boolean } {
    const seated = this.#hostOf.get(actor);
    if (seated !== undefined) return { host: seated, isNew: false };
    const found = this.#withRoom(kind, takes);
    const host = found ?? { id: id(), kind, actors: new Set<string>(), worker: undefined };
    this.#hosts.set(host.id, host);
    host.actors.add(actor);
    this.#hostOf.set(actor, host);
    return { host, isNew: found === undefined };
  }

  /** The host that it leaves empty, if it does. */
  leave(actor: string): Host | undefined {
    const host = this.#hostOf.get(actor);
    if (host === undefined) return undefined;
    this.#hostOf.delete(actor);
    host.actors.delete(actor);
    return host.actors.size === 0 ? host : undefined;
  }

  /** The host is no more; its actors have no seat. */
  gone(id: string): void {
    const host = this.#hosts.get(id);
    if (host === undefined) return;
    this.#hosts.delete(id);
    for (const actor of host.actors) this.#hostOf.delete(actor);
  }

  /** The one with the fewest actors; none when there is to be another. */
  #withRoom(kind: string, takes: (host: Host) => boolean): Host | undefined {
    const { actorsPerHost, actorsBeforeNext, cpus } = this.#limits;
    let least: Host | undefined;
    let count = 0;
    for (const host of this.#hosts.values()) {
      if (host.kind !== kind || !takes(host)) continue;
      count += 1;
      if (least === undefined || host.actors.size < least.actors.size) least = host;
    }
    const most = count < cpus ? Math.min(actorsBeforeNext, actorsPerHost) : actorsPerHost;
    return least !== undefined && least.actors.size < most ? least : undefined;
  }
}
