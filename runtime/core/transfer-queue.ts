// Whose turn it is among the transfers to a node: who may begin, and who may ask for its next bytes.
//
// Both are bounded for the node. What a get waits for comes before what a wait does, and that before arguments of tasks: of the
// bytes asked for each kind gets a share by its weight while it has something to ask, so the last is slow and never stands still.
// Within a kind the oldest goes first, so that one is whole before many are half. Room is taken when a transfer begins; a kind
// is held up only by its own and those before it, and has always one under way.

export const TRANSFER_KINDS = ["get", "wait", "argument"] as const;
export type TransferKind = (typeof TRANSFER_KINDS)[number];

const WEIGHTS: Readonly<Record<TransferKind, number>> = { get: 16, wait: 4, argument: 1 };

export interface TransferLimits {
  /** Asked for and not here yet. */
  readonly inFlightBytes: number;
  /** Of one ask, at most. */
  readonly askBytes: number;
  /** Sizes of objects of a kind, and of those before it, that are under way. */
  readonly activeBytes: number;
}

interface Queued<T> {
  readonly item: T;
  readonly bytes: number;
  kind: TransferKind;
  isActive: boolean;
}

export class TransferQueue<T> {
  readonly #limits: TransferLimits;
  readonly #queued = new Map<T, Queued<T>>();
  /** Bytes granted to a kind over its weight; the least is next. */
  readonly #granted: Record<TransferKind, number> = { get: 0, wait: 0, argument: 0 };
  /** Of the one that was last: who had nothing to ask for did not save up its turns. */
  #now = 0;
  #inFlight = 0;

  constructor(limits: TransferLimits) {
    this.#limits = limits;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  add(item: T, kind: TransferKind, bytes: number): void {
    this.#queued.set(item, { item, bytes, kind, isActive: false });
  }

  /** Somebody waits for it who comes before those that did. */
  raise(item: T, kind: TransferKind): void {
    const queued = this.#queued.get(item);
    if (queued !== undefined && rankOf(kind) < rankOf(queued.kind)) queued.kind = kind;
  }

  /** Safe to call twice. */
  remove(item: T): void {
    this.#queued.delete(item);
  }

  /** Those that may begin now, once each. */
  begin(): T[] {
    const active = [...this.#queued.values()].filter(({ isActive }) => isActive);
    const begun: T[] = [];
    for (const kind of TRANSFER_KINDS) {
      const waiting = [...this.#queued.values()].filter((one) => one.kind === kind && !one.isActive);
      for (const queued of waiting) {
        const taken = active.filter((one) => rankOf(one.kind) <= rankOf(kind)).reduce((sum, { bytes }) => sum + bytes, 0);
        const isFirst = !active.some((one) => one.kind === kind);
        if (!isFirst && taken + queued.bytes > this.#limits.activeBytes) break;
        queued.isActive = true;
        active.push(queued);
        begun.push(queued.item);
      }
    }
    return begun;
  }

  /**
   * Grants bytes to the transfer whose turn it is. `wants` says how many it would ask for, undefined for none now; they are in
   * flight from here on, until `landed`.
   */
  grant<A extends { readonly bytes: number }>(
    wants: (item: T) => A | undefined,
  ): { readonly item: T; readonly ask: A } | undefined {
    const { inFlightBytes, askBytes } = this.#limits;
    if (this.#inFlight + askBytes > inFlightBytes) return undefined;
    const turnOf = (kind: TransferKind) => Math.max(this.#granted[kind], this.#now);
    for (const kind of [...TRANSFER_KINDS].sort((one, other) => turnOf(one) - turnOf(other))) {
      for (const queued of this.#queued.values()) {
        if (queued.kind !== kind || !queued.isActive) continue;
        const ask = wants(queued.item);
        if (ask === undefined) continue;
        this.#inFlight += ask.bytes;
        this.#now = turnOf(kind);
        this.#granted[kind] = this.#now + ask.bytes / WEIGHTS[kind];
        return { item: queued.item, ask };
      }
    }
    return undefined;
  }

  landed(bytes: number): void {
    this.#inFlight -= bytes;
  }
}

function rankOf(kind: TransferKind): number {
  return TRANSFER_KINDS.indexOf(kind);
}
