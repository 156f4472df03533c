// What this node believes about the others, corrected by what it sent them since.
//
// Reports are a moment old. What was passed on to a node is taken off its availability at once, so that the next decision does
// not send the same room away twice; the next report replaces the whole guess.

import { type NodeView, type Placement, utilisation } from "./placement.ts";
import { UTILISATION_THRESHOLD } from "./policy/hybrid.ts";
import { resourcesFit, subtractResources, type Resources } from "./resources.ts";

interface MutableView extends NodeView {
  available: Resources;
}

export class ClusterView {
  readonly #self: string;
  readonly #nodes = new Map<string, MutableView>();
  #list: readonly NodeView[] = [];
  version = 0;

  constructor(self: string) {
    this.#self = self;
  }

  get size(): number {
    return this.#nodes.size;
  }

  replace(nodes: readonly NodeView[]): void {
    this.version += 1;
    this.#nodes.clear();
    for (const node of nodes) {
      if (node.id === this.#self || node.state === "DEAD") continue;
      const { id, state, total, available, labels, backlog } = node;
      this.#nodes.set(id, { id, state, total, available, labels, backlog });
    }
    this.#list = [...this.#nodes.values()];
  }

  get(id: string): NodeView | undefined {
    return this.#nodes.get(id);
  }

  others(except: ReadonlySet<string>): readonly NodeView[] {
    return except.size === 0 ? this.#list : this.#list.filter(({ id }) => !except.has(id));
  }

  /** Books up to `unmet` leases on the node, until it is half full or has no room; at least one. */
  book(id: string, placement: Placement, unmet: number): number {
    const node = this.#nodes.get(id);
    if (node === undefined) return unmet;
    // A named node, or one that is only queued at, gets the whole order: there is no better place for the rest of it.
    const all = placement.kind === "node" || !resourcesFit(placement.resources, node.available);
    if (all) return unmet;
    let units = 0;
    do {
      node.available = subtractResources(node.available, placement.resources);
      units += 1;
    } while (units < unmet && placement.kind === "default" && resourcesFit(placement.resources, node.available)
      && utilisation(node) < UTILISATION_THRESHOLD);
    return units;
  }
}
