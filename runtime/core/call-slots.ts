// The calls of one actor that have their arguments: which of them run now, and which never could.
//
// Pure. A group has as many slots as it may run calls at once; methods without a group share the default one, "". Within a group
// calls start in the order in which they came. A call that was made within one that runs here would wait for itself when that one
// waits for it: in a reentrant actor it takes no slot, in any other it is found by `stuck` when all slots of its group are
// held by calls that wait for such calls.

import { Deque } from "./deque.ts";

export interface SlotCall {
  /** Names the call among those of all callers. */
  readonly key: string;
  readonly group: string;
  /** Keys of the calls that it was made within. */
  readonly within: readonly string[];
}

export interface SlotLimits {
  readonly slots: number;
  readonly groups: Readonly<Record<string, number>>;
  readonly reentrant: boolean;
}

interface Group<C> {
  readonly slots: number;
  readonly queue: Deque<C>;
  /** Slots in use. */
  running: number;
}

export class CallSlots<C extends SlotCall> {
  readonly #groups = new Map<string, Group<C>>();
  /** The same, to go through for each call. */
  readonly #all: readonly Group<C>[];
  readonly #isReentrant: boolean;
  readonly #reentering = new Deque<C>();
  /** Every call that runs, and the group whose slot it holds; none for one that re-entered. */
  readonly #running = new Map<string, Group<C> | undefined>();
  /** Running calls that wait for a call to this actor, by its key. */
  readonly #waits = new Map<string, string>();

  constructor({ slots, groups, reentrant }: SlotLimits) {
    this.#isReentrant = reentrant;
    for (const [name, count] of [["", slots], ...Object.entries(groups)] as const) {
      this.#groups.set(name, { slots: count, queue: new Deque(), running: 0 });
    }
    this.#all = [...this.#groups.values()];
  }

  get running(): number {
    return this.#running.size;
  }

  get groups(): readonly string[] {
    return [...this.#groups.keys()].filter((name) => name !== "");
  }

  hasGroup(name: string): boolean {
    return this.#groups.has(name);
  }

  /** Its group is known. */
  enqueue(call: C): void {
    const reenters = this.#isReentrant && call.within.some((key) => this.#running.has(key));
    if (reenters) this.#reentering.pushBack(call);
    else this.#group(call).queue.pushBack(call);
  }

  /** A call that is to start now; it runs until `ended`. */
  next(): C | undefined {
    const reentering = this.#isReentrant ? this.#reentering.popFront() : undefined;
    if (reentering !== undefined) return this.#start(reentering, undefined);
    for (const group of this.#all) {
      if (group.running >= group.slots) continue;
      const call = group.queue.popFront();
      if (call !== undefined) return this.#start(call, group);
    }
    return undefined;
  }

  ended(call: C): void {
    const group = this.#running.get(call.key);
    if (this.#running.delete(call.key) && group !== undefined) group.running -= 1;
    if (this.#waits.size > 0) this.#waits.delete(call.key);
  }

  /**
   * The running call `holder` waits until call `key` has run. Gives that call, out of the queue, when it never would: all slots
   * of its group are held by calls that wait for queued ones.
   */
  stuck(holder: string, key: string): C | undefined {
    if (!this.#running.has(holder)) return undefined;
    this.#waits.set(holder, key);
    return this.#takeDeadlocked(key);
  }

  /** The call `key` has come, which calls here may be waiting for already: as `stuck`. */
  stuckOnArrival(key: string): C | undefined {
    if (this.#waits.size === 0) return undefined;
    for (const waited of this.#waits.values()) if (waited === key) return this.#takeDeadlocked(key);
    return undefined;
  }

  /** `holder` waits no more. */
  unstuck(holder: string): void {
    this.#waits.delete(holder);
  }

  /** Everything that has not started, out of the queues. */
  drain(): C[] {
    return [...this.#reentering.drain(), ...this.#all.flatMap(({ queue }) => queue.drain())];
  }

  #start(call: C, group: Group<C> | undefined): C {
    if (group !== undefined) group.running += 1;
    this.#running.set(call.key, group);
    return call;
  }

  /** Out of its queue, when no slot of its group comes free before it has run. */
  #takeDeadlocked(key: string): C | undefined {
    for (const group of this.#all) {
      if (group.running < group.slots) continue;
      const holders = [...this.#running].filter(([, held]) => held === group).map(([holder]) => holder);
      const queued = new Map(group.queue.drain().map((call) => [call.key, call]));
      const found = queued.get(key);
      const isDeadlocked = found !== undefined && holders.every((holder) => queued.has(this.#waits.get(holder) ?? ""));
      if (isDeadlocked) queued.delete(key);
      for (const call of queued.values()) group.queue.pushBack(call);
      if (isDeadlocked) return found;
    }
    return undefined;
  }

  #group(call: C): Group<C> {
    return this.#groups.get(call.group) ?? (this.#groups.get("") as Group<C>);
  }
}
