// What a run that begins anew takes over from before: what has ended stays as it is, what has not begins again, and knows how far
// it had come. Where the run is not over, what is on its way stays so too.

import type { RunEvent } from "./events.ts";
import type { Field } from "./field.ts";
import { type Coords, isWithin, keyOf, type Place, type Plan } from "./plan.ts";
import { type Instance, instanceAt, type KnownEnd, type Slot, spentOf } from "./slots.ts";
import { isTerminal } from "./states.ts";

type Event<T extends RunEvent["type"]> = Extract<RunEvent, { readonly type: T }>;

const BY_HAND = "marked by hand";

export class EarlierLife {
  readonly #plan: Plan;
  readonly #field: Field;
  #known = new Map<string, KnownEnd>();
  /** Of what begins from its beginning. */
  readonly #before = new Map<string, Pick<Instance, "starts" | "spent">>();

  constructor(plan: Plan, field: Field) {
    this.#plan = plan;
    this.#field = field;
  }

  slot({ task, coords }: Slot): KnownEnd | undefined {
    return this.#known.get(`slot ${keyOf(task, coords)}`);
  }

  /** True when the one instance of a slot has ended, or is on its way. */
  hasBegun({ task, coords }: Slot): boolean {
    const { mapped, loop } = this.#plan.tasks[task];
    const known = mapped || loop !== undefined ? undefined : this.#known.get(keyOf(task, coords));
    return known !== undefined && known.state !== "none";
  }

  instance(slot: Slot, coords: Coords): Instance {
    const key = keyOf(slot.task, coords);
    const known = this.#known.get(key);
    if (known !== undefined) return { ...known, slot, coords };
    const before = this.#before.get(key);
    return instanceAt(slot, coords, before?.starts ?? 0, before?.spent);
  }

  attemptOf({ task, coords }: Place): number {
    return Math.max(0, (this.#known.get(keyOf(task, coords))?.starts ?? 0) - 1);
  }

  // -- how it begins anew ------------------------------------------------------------------------------------------------

  /** Gives what is on its way and is not taken over. */
  cleared({ tasks, instances: chosen = [], lost = [] }: Event<"cleared">, isLive: boolean): Place[] {
    // What is only lost is made again by the same attempt.
    const lostKeys = new Set(lost.map(({ task, coords }) => keyOf(task, coords)));
    for (const { task, instances = [] } of this.#field.slots()) {
      for (const instance of instances) {
        const key = keyOf(task, instance.coords);
        this.#before.set(key, { starts: instance.starts, spent: spentOf(instance) + (lostKeys.has(key) ? 0 : 1) });
      }
    }
    this.#known = this.#ends(isLive, this.#withLoops(tasks));
    for (const { task, coords } of [...chosen, ...lost]) this.#known.delete(keyOf(task, coords));
    return this.#underWay().filter(({ task, coords }) => !this.#known.has(keyOf(task, coords)));
  }

  /** Of a task all its instances are meant. Gives which they are, and what was on its way of them. */
  marked({ task, coords, state, at }: Event<"marked">, isLive: boolean): { readonly marked: Place[]; readonly left: Place[] } {
    const isOf = (one: Place): boolean => one.task === task && isWithin(one, coords);
    const left = this.#underWay().filter(isOf);
    const there = [...this.#field.slots()].flatMap((slot) => (slot.task === task ? (slot.instances ?? []) : []));
    const known = there.map((one) => ({ task, coords: one.coords })).filter(isOf);
    const { mapped, loop } = this.#plan.tasks[task];
    this.#known = this.#ends(isLive);
    const end = { state, until: undefined, reason: BY_HAND, endedAt: at };
    // What has no instance yet has none then.
    if (mapped && known.length === 0) this.#known.set(`slot ${keyOf(task, coords)}`, { starts: 0, tries: 0, ...end });
    const marked = known.length > 0 || mapped ? known : [{ task, coords }];
    for (const place of marked) {
      const key = keyOf(task, place.coords);
      // It may have ended without an instance.
      if (!mapped && loop === undefined) this.#known.delete(`slot ${key}`);
      this.#known.set(key, { starts: 1, tries: 0, ...this.#known.get(key), ...end });
    }
    return { marked, left };
  }

  resumed({ anew, lost }: Event<"resumed">): void {
    const again = new Set(lost.map(({ task, coords }) => keyOf(task, coords)));
    // A loop with a round to be run again is walked through anew, over those that are there.
    const loops = new Set(lost.flatMap(({ task }) => this.#plan.tasks[task].scope));
    const known = new Map<string, KnownEnd>();
    for (const slot of this.#field.slots()) {
      const { task, state, reason } = slot;
      const own = `slot ${keyOf(task, slot.coords)}`;
      const isGate = this.#plan.tasks[task].kind === "gate";
      const keepsSlot = isTerminal(state) && !loops.has(task) && (!anew || (state === "success" && !isGate));
      if (keepsSlot) known.set(own, { state, starts: 0, tries: 0, reason, size: this.#field.sizeOf(task, slot.coords) });
      for (const instance of slot.instances ?? []) {
        const key = keyOf(task, instance.coords);
        const isLost = again.has(key);
        if (isLost || (anew && !isKept(instance))) {
          known.set(key, { state: "none", starts: instance.starts, tries: 0, spent: spentOf(instance) + (isLost ? 0 : 1) });
        } else if (isTerminal(instance.state)) known.set(key, { ...instance });
        else known.set(key, { ...instance, state: "none" });
      }
    }
    this.#known = known;
  }

  /** Instances that run, or wait to. */
  #underWay(): Place[] {
    return [...this.#field.slots()].flatMap(({ task, instances = [] }) => (
      instances.filter(({ state }) => !isTerminal(state) && state !== "none").map(({ coords }) => ({ task, coords }))
    ));
  }

  /** What has ended, or is on its way too, but for these. */
  #ends(isLive: boolean, except: ReadonlySet<number> = new Set()): Map<string, KnownEnd> {
    const known = new Map<string, KnownEnd>();
    for (const slot of this.#field.slots()) {
      if (except.has(slot.task)) continue;
      const size = this.#field.sizeOf(slot.task, slot.coords);
      // A loop that has not ended begins anew.
      if (this.#plan.tasks[slot.task].kind === "loop" && !isTerminal(slot.state) && !isLive) continue;
      const own = { state: slot.state, starts: 0, tries: 0, reason: slot.reason, size };
      if (isTerminal(slot.state) || size !== undefined) known.set(`slot ${keyOf(slot.task, slot.coords)}`, own);
      for (const instance of slot.instances ?? []) {
        if (isTerminal(instance.state) || isLive) known.set(keyOf(slot.task, instance.coords), { ...instance });
      }
    }
    return known;
  }

  /** A loop is run anew as a whole. */
  #withLoops(tasks: readonly number[]): Set<number> {
    const all = new Set(tasks);
    for (const task of tasks) {
      for (const gate of this.#plan.tasks[task].scope) {
        if (this.#plan.tasks[gate].kind === "loop") for (const inner of [gate, ...this.#field.inside(gate)]) all.add(inner);
      }
    }
    return all;
  }
}

/** What a resumed run need not do again: also what its own code has skipped. */
function isKept({ state, stopped }: Instance): boolean {
  return state === "success" || (state === "skipped" && stopped !== true);
}
