// Tasks go where their arguments are: a task with large arguments in one node's store asks for its lease there first.
//
// Leases belong to scheduling classes, so such tasks have a class of their own, which differs from the template's in the node
// that it prefers. The preference is the lease queue's to weigh: a node without room is passed over, and the argument is copied.

import { LeasePool } from "../../core/index.ts";
import type { SchedulingClass, TaskRecord } from "./task-record.ts";

/** What is not worth a choice: a copy takes less time than a lease. */
const LARGE_BYTES = 256 * 1024;

export class Locality {
  readonly #nodeId: string;
  readonly #newId: () => number;
  readonly #near = new Map<SchedulingClass, Map<string, SchedulingClass>>();

  constructor(nodeId: string, newId: () => number) {
    this.#nodeId = nodeId;
    this.#newId = newId;
  }

  /** The class of a task whose arguments are known. */
  classOf({ bound, template: { scheduling } }: TaskRecord): SchedulingClass {
    if (bound.length === 0 || scheduling.strategy.kind !== "default") return scheduling;
    const node = this.#heaviest(bound);
    return node === undefined || node === this.#nodeId ? scheduling : this.#nearTo(node, scheduling);
  }

  /** Where most bytes of large arguments are. */
  #heaviest(bound: TaskRecord["bound"]): string | undefined {
    const bytes = new Map<string, number>();
    let heaviest: string | undefined;
    for (const { value } of bound) {
      if (!value?.stored) continue;
      const { node, size } = value.stored;
      const sum = (bytes.get(node) ?? 0) + size;
      bytes.set(node, sum);
      if (sum >= LARGE_BYTES && (heaviest === undefined || sum > (bytes.get(heaviest) ?? 0))) heaviest = node;
    }
    return heaviest;
  }

  #nearTo(node: string, scheduling: SchedulingClass): SchedulingClass {
    let classes = this.#near.get(scheduling);
    if (classes === undefined) this.#near.set(scheduling, (classes = new Map()));
    let found = classes.get(node);
    if (found === undefined) {
      found = { ...scheduling, id: this.#newId(), strategy: { ...scheduling.strategy, node }, pool: new LeasePool() };
      classes.set(node, found);
    }
    return found;
  }
}
