// Every actor of the cluster, by id and by name: the head's view.
//
// Pure. The agent that hosts an actor decides its life (actor-life.ts) and reports it; the directory remembers, answers who
// asks, keeps names unique, and decides what follows from the death of a node or of an owner. Reports of older incarnations
// are ignored.

export type DirectoryState = "PENDING" | "ALIVE" | "RESTARTING" | "DEAD";

export interface DirectoryInfo {
  readonly actor: string;
  readonly state: string;
  readonly node: string;
  readonly incarnation: number;
  readonly restarts: number;
  readonly name: string;
  readonly namespace: string;
  readonly owner: string;
  readonly jobId: string;
  readonly detached: boolean;
  readonly maxRestarts: number;
}

/** Dead actors that can still be asked about. */
export const DEAD_ACTORS_KEPT = 10_000;

export type NodeLoss<I> =
  /** Start it again elsewhere, as this incarnation. */
  | { readonly kind: "replace"; readonly info: I; readonly incarnation: number; readonly restarts: number }
  | { readonly kind: "dead"; readonly info: I };

export class ActorDirectory<I extends DirectoryInfo> {
  readonly #actors = new Map<string, I>();
  readonly #names = new Map<string, string>();
  readonly #dead: string[] = [];

  find(actor: string): I | undefined {
    return this.#actors.get(actor);
  }

  /** A living (or starting) actor of that name. */
  named(namespace: string, name: string): I | undefined {
    const actor = this.#names.get(nameKey(namespace, name));
    return actor === undefined ? undefined : this.#actors.get(actor);
  }

  all(): IterableIterator<I> {
    return this.#actors.values();
  }

  /** Takes a name for a new actor; the living holder of that name when it is taken. A repeat by the same actor succeeds. */
  claimName(info: I): I | undefined {
    const holder = this.named(info.namespace, info.name);
    if (holder !== undefined && holder.actor !== info.actor) return holder;
    this.#names.set(nameKey(info.namespace, info.name), info.actor);
    if (holder === undefined) this.#actors.set(info.actor, info);
    return undefined;
  }

  /** True when the report is news. */
  reported(info: I): boolean {
    const known = this.#actors.get(info.actor);
    if (known !== undefined) {
      if (known.state === "DEAD" || info.incarnation < known.incarnation) return false;
      if (info.incarnation === known.incarnation && rank(info.state) < rank(known.state)) return false;
    }
    this.#actors.set(info.actor, info);
    if (info.state === "DEAD") this.#bury(info);
    // Its name was claimed of an earlier head.
    else if (known === undefined && info.name !== "") this.claimName(info);
    return true;
  }

  /** What becomes of the actors of a dead node; the caller reports each in its new state. */
  nodeDied(node: string): NodeLoss<I>[] {
    const losses: NodeLoss<I>[] = [];
    for (const info of this.#actors.values()) {
      if (info.node !== node || info.state === "DEAD") continue;
      const left = info.maxRestarts < 0 ? 1 : info.maxRestarts - info.restarts;
      losses.push(
        left > 0
          ? { kind: "replace", info, incarnation: info.incarnation + 1, restarts: info.restarts + 1 }
          : { kind: "dead", info },
      );
    }
    return losses;
  }

  #bury(info: I): void {
    const key = nameKey(info.namespace, info.name);
    if (info.name !== "" && this.#names.get(key) === info.actor) this.#names.delete(key);
    this.#dead.push(info.actor);
    if (this.#dead.length > DEAD_ACTORS_KEPT) this.#actors.delete(this.#dead.shift() as string);
  }
}

function nameKey(namespace: string, name: string): string {
  return `${namespace}\n${name}`;
}

/** Within one incarnation a life only goes forward. */
function rank(state: string): number {
  return ["PENDING", "RESTARTING", "ALIVE", "DEAD"].indexOf(state);
}
