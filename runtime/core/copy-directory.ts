// Who has, or is getting, a copy of one object of this node, and whom the next receiver gets it from.
//
// A receiver serves others while it receives. Each gets a *trunk*, which came before it or has everything, and has room for two:
// so the trunks form a tree whose root is the origin, and its depth is the logarithm of the receivers. Beside it each gets a
// *neighbour*, the one that fewest others use: what the two have differs, so they give it to each other, and when a trunk dies
// there is somebody else until the receiver has asked for another.

const TRUNK_CHILDREN = 2;

export interface CopySources {
  readonly sources: readonly string[];
  /** The how manieth receiver it is, from 0. */
  readonly order: number;
}

interface Receiver {
  readonly order: number;
  isWhole: boolean;
  /** Receivers under way that have it for their trunk, and for their neighbour. */
  children: number;
  neighbours: number;
  trunk: string | undefined;
  neighbour: string | undefined;
}

export class CopyDirectory {
  readonly #origin: string;
  /** The origin too, as the one that was there first. */
  readonly #nodes = new Map<string, Receiver>();
  #joined = 0;

  constructor(origin: string) {
    this.#origin = origin;
    this.#nodes.set(origin, newReceiver(-1, true));
  }

  /** Nodes other than the origin. */
  get holders(): string[] {
    return [...this.#nodes.keys()].filter((node) => node !== this.#origin);
  }

  /** It took all of it at once. */
  took(node: string): void {
    if (!this.#nodes.has(node)) this.#nodes.set(node, newReceiver(this.#joined++, true));
  }

  /** A node wants a copy, or other sources for it than those that failed. */
  join(node: string, failed: readonly string[]): CopySources {
    let receiver = this.#nodes.get(node);
    if (receiver === undefined) this.#nodes.set(node, (receiver = newReceiver(this.#joined++, false)));
    this.#leaves(receiver);
    receiver.isWhole = false;
    const others = [...this.#nodes].filter(([id]) => id !== node && !failed.includes(id));
    const { order } = receiver;
    // Who came later may have this node for its own trunk.
    receiver.trunk = best(others.filter(([, one]) => one.isWhole || one.order < order), trunkRank);
    receiver.neighbour = best(others.filter(([id]) => id !== receiver.trunk && id !== this.#origin), neighbourRank);
    const { trunk, neighbour } = receiver;
    if (trunk !== undefined) (this.#nodes.get(trunk) as Receiver).children += 1;
    if (neighbour !== undefined) (this.#nodes.get(neighbour) as Receiver).neighbours += 1;
    return { sources: [trunk, neighbour].filter((one) => one !== undefined), order };
  }

  /** It has a whole copy, or has given up. Safe to call twice. */
  ended(node: string, isWhole: boolean): void {
    const receiver = this.#nodes.get(node);
    if (receiver === undefined || node === this.#origin) return;
    this.#leaves(receiver);
    if (isWhole) receiver.isWhole = true;
    else this.#nodes.delete(node);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #leaves(receiver: Receiver): void {
    const trunk = this.#nodes.get(receiver.trunk ?? "");
    const neighbour = this.#nodes.get(receiver.neighbour ?? "");
    if (trunk !== undefined && trunk.children > 0) trunk.children -= 1;
    if (neighbour !== undefined && neighbour.neighbours > 0) neighbour.neighbours -= 1;
    receiver.trunk = undefined;
    receiver.neighbour = undefined;
  }
}

function newReceiver(order: number, isWhole: boolean): Receiver {
  return { order, isWhole, children: 0, neighbours: 0, trunk: undefined, neighbour: undefined };
}

/** Less is better: who has room, then who has all of it, then who came first; without room, who has fewest. */
function trunkRank({ children, isWhole, order }: Receiver): number[] {
  return [Math.max(0, children - TRUNK_CHILDREN + 1), isWhole ? 0 : 1, order];
}

function neighbourRank({ neighbours, children, order }: Receiver): number[] {
  return [neighbours * 2 + children, -order];
}

function best(nodes: readonly (readonly [string, Receiver])[], rankOf: (receiver: Receiver) => number[]): string | undefined {
  let found: { readonly id: string; readonly rank: number[] } | undefined;
  for (const [id, receiver] of nodes) {
    const rank = rankOf(receiver);
    if (found === undefined || isLess(rank, found.rank)) found = { id, rank };
  }
  return found?.id;
}

function isLess(one: readonly number[], other: readonly number[]): boolean {
  const at = one.findIndex((value, index) => value !== other[index]);
  return at >= 0 && one[at] < other[at];
}
