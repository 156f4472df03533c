// The nodes that an earlier head knew: a new one waits until each is back, or is declared dead, before it says of anything that
// it is not there.

import { DEAD_NODES_KEPT, type Membership } from "../core/index.ts";
import { type Draft, fromBytes, NodeInfo, toBytes } from "../transport/index.ts";
import type { HeadRecords, Kept } from "./head-records.ts";

export class HeadRoll {
  readonly #records: HeadRecords;
  /** Not back yet. */
  readonly #missing = new Map<string, Draft<NodeInfo>>();
  /** Not back, or have not told yet what lives there. */
  readonly #awaited = new Set<string>();
  readonly #dead: Draft<NodeInfo>[] = [];
  #waiting: (() => void)[] = [];

  constructor(records: HeadRecords) {
    this.#records = records;
  }

  /** `home`: the node of the new head. One on another node was started by hand after its machine was gone, and all before it. */
  restore(membership: Membership, home: string): void {
    const infos = [...this.#records.all("node")].map(([, bytes]) => fromBytes(NodeInfo, bytes));
    const isSameHome = infos.some(({ id, isHead, state }) => id === home && isHead && state !== "DEAD");
    for (const info of infos) {
      const { id, process, state, reason } = info;
      membership.step({ kind: "restored", node: id, process, state: state === "DEAD" ? state : "ALIVE", reason });
      if (state !== "DEAD") {
        this.#missing.set(id, { ...info, available: {}, reclaimable: {} });
        this.#awaited.add(id);
      } else if (isSameHome) this.#dead.push(info);
    }
  }

  /** Nodes that had an earlier head beside them: a cluster has one. */
  formerHomes(home: string): string[] {
    return [...this.#missing.values()].filter(({ id, isHead }) => isHead && id !== home).map(({ id }) => id as string);
  }

  missing(): string[] {
    return [...this.#missing.keys()];
  }

  find(node: string): Draft<NodeInfo> | undefined {
    return this.#missing.get(node);
  }

  /** Those that are not here: missing ones as if they lived, and the dead. */
  rows(): Draft<NodeInfo>[] {
    return [...this.#missing.values(), ...this.#dead];
  }

  /** True when no head knew it. */
  joined(info: Draft<NodeInfo>): boolean {
    const isNew = !this.#missing.delete(info.id as string);
    if (isNew) this.#records.keep("node", info.id as string, toBytes(NodeInfo, info));
    return isNew;
  }

  /** It has told what lives there. */
  synced(node: string): void {
    if (!this.#awaited.delete(node) || this.#awaited.size > 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const told of waiting) told();
  }

  /** On the disk before anybody hears of it: a node that was called dead once is never taken back. */
  died(info: Draft<NodeInfo>): Kept {
    const id = info.id as string;
    this.#missing.delete(id);
    this.#dead.push(info);
    const kept = this.#records.keep("node", id, toBytes(NodeInfo, info));
    const oldest = this.#dead.length > DEAD_NODES_KEPT ? this.#dead.shift() : undefined;
    if (oldest !== undefined) this.#records.keep("node", oldest.id as string, undefined);
    return kept;
  }

  /** At once when nobody is awaited. */
  whole<T>(then: () => T | Promise<T>): T | Promise<T> {
    if (this.#awaited.size === 0) return then();
    return new Promise<void>((resolve) => void this.#waiting.push(resolve)).then(then);
  }

  onceWhole(then: () => void): void {
    if (this.#awaited.size === 0) then();
    else this.#waiting.push(then);
  }
}
