// How many nodes keep an object, and who sees to it that they are as many as were asked for.
//
// Pure. The nodes that have a copy, its homes, all know one another, in the same order; the first of them that lives leads: it
// has others make copies. So when homes die the next one leads, without a word.

interface Replicated {
  readonly wanted: number;
  homes: string[];
  /** Nodes that are making a copy. */
  readonly making: Set<string>;
}

export interface CopyOrder {
  readonly id: string;
  readonly to: string;
}

export class Replicas {
  readonly #node: string;
  readonly #objects = new Map<string, Replicated>();

  constructor(node: string) {
    this.#node = node;
  }

  get size(): number {
    return this.#objects.size;
  }

  homesOf(id: string): readonly string[] {
    return this.#objects.get(id)?.homes ?? [];
  }

  wantedOf(id: string): number {
    return this.#objects.get(id)?.wanted ?? 1;
  }

  /** This node leads it, and it has fewer homes than it is to have. */
  lacks(id: string): boolean {
    const object = this.#objects.get(id);
    return object !== undefined && object.homes[0] === this.#node && object.homes.length < object.wanted;
  }

  /** This node keeps it, and those do. A repeat brings other homes, or more of them to be; what is being made goes on. */
  track(id: string, wanted: number, homes: readonly string[]): void {
    const known = this.#objects.get(id);
    const all = known === undefined ? [...homes] : [...known.homes, ...homes.filter((home) => !known.homes.includes(home))];
    if (!all.includes(this.#node)) all.push(this.#node);
    this.#objects.set(id, { wanted: Math.max(wanted, known?.wanted ?? 1), homes: all, making: known?.making ?? new Set() });
  }

  forget(id: string): void {
    this.#objects.delete(id);
  }

  nodeGone(node: string): void {
    for (const object of this.#objects.values()) {
      object.making.delete(node);
      if (object.homes.includes(node)) object.homes = object.homes.filter((home) => home !== node);
    }
  }

  /**
   * Copies to be made now, on nodes of these, the first of them first; each is under way until `made` or `failed`. Homes that are
   * `leaving` copy, and don't count.
   */
  orders(nodes: readonly string[], leaving: ReadonlySet<string> = new Set()): CopyOrder[] {
    const orders: CopyOrder[] = [];
    for (const [id, { wanted, homes, making }] of this.#objects) {
      if (homes[0] !== this.#node) continue;
      const gone = homes.filter((home) => leaving.has(home)).length;
      for (const to of nodes) {
        if (homes.length - gone + making.size >= wanted) break;
        if (homes.includes(to) || making.has(to)) continue;
        making.add(to);
        orders.push({ id, to });
      }
    }
    return orders;
  }

  /** That node has a copy now. Homes that have to be told of it. */
  made({ id, to }: CopyOrder): string[] {
    const object = this.#objects.get(id);
    if (object === undefined || !object.making.delete(to)) return [];
    const told = object.homes.filter((home) => home !== this.#node);
    if (!object.homes.includes(to)) object.homes.push(to);
    return told;
  }

  failed({ id, to }: CopyOrder): void {
    this.#objects.get(id)?.making.delete(to);
  }
}
