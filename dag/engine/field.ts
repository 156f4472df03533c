// The slots of a run and the tallies between them: which slots there are, how what lies before each has ended, which to look
// at again.
//
// A slot is looked at again only when a tally before it has its first end of a kind, or is complete: no trigger rule can tell
// more. So the cost of an end does not grow with the number of instances beside it.

import { type Coords, keyOf, type Plan, sharedDepth } from "./plan.ts";
import { type Slot, slotAt, Tally } from "./slots.ts";
import type { TaskState } from "./states.ts";
import { END_KINDS, Ends } from "./trigger-rules.ts";

interface Link {
  readonly task: number;
  readonly depth: number;
}

export class Field {
  readonly #plan: Plan;
  readonly #links: readonly (readonly Link[])[];
  /** Tasks that a task is a guard of. */
  readonly #guarded: readonly (readonly number[])[];
  readonly #inside: readonly (readonly number[])[];
  /** The task that ends a round of a loop has ended. */
  readonly #roundEnded: (gate: Slot, round: number, state: TaskState) => void;
  #slots = new Map<string, Slot>();
  #tallies = new Map<string, Tally>();
  #sizes = new Map<string, number>();
  #todo: Slot[] = [];
  #openTasks = 0;

  constructor(plan: Plan, roundEnded: (gate: Slot, round: number, state: TaskState) => void) {
    const { tasks } = plan;
    this.#plan = plan;
    this.#roundEnded = roundEnded;
    this.#links = tasks.map((task) => task.downstream.map((next) => ({ task: next, depth: sharedDepth(task, tasks[next]) })));
    const guarded: number[][] = tasks.map(() => []);
    tasks.forEach(({ guards }, task) => guards.forEach((guard) => guarded[guard].push(task)));
    this.#guarded = guarded;
    const inside: number[][] = tasks.map(() => []);
    tasks.forEach(({ scope }, task) => scope.forEach((gate) => inside[gate].push(task)));
    this.#inside = inside;
  }

  reset(): void {
    [this.#slots, this.#tallies, this.#sizes, this.#todo] = [new Map(), new Map(), new Map(), []];
    this.#openTasks = this.#plan.tasks.length;
    this.#plan.tasks.forEach((_, task) => this.#tallies.set(keyOf(task, []), new Tally()));
    this.#plan.tasks.forEach(({ scope }, task) => scope.length === 0 && this.#create(task, []));
  }

  /** Every task has ended wherever it is. */
  get complete(): boolean {
    return this.#openTasks === 0;
  }

  slot(task: number, coords: Coords): Slot | undefined {
    return this.#slots.get(keyOf(task, coords));
  }

  slots(): IterableIterator<Slot> {
    return this.#slots.values();
  }

  /** Elements of what is expanded, or rounds of a loop so far. */
  sizeOf(task: number, coords: Coords): number | undefined {
    return this.#sizes.get(keyOf(task, coords));
  }

  /** The tasks behind a gate. */
  inside(gate: number): readonly number[] {
    return this.#inside[gate];
  }

  ends(task: number): Ends {
    return this.#tally(task, []).ends;
  }

  /** How tasks have ended, as seen from a slot. */
  endsOf(tasks: readonly number[], { task, coords }: Slot): Ends {
    const all = new Ends();
    for (const one of tasks) {
      const depth = sharedDepth(this.#plan.tasks[one], this.#plan.tasks[task]);
      const { ends } = this.#tally(one, coords.slice(0, depth));
      for (const kind of END_KINDS) if (ends[kind] > 0) all.add(kind);
    }
    return all;
  }

  /** Whether tasks have ended, as seen from a slot. */
  haveEnded(tasks: readonly number[], { task, coords }: Slot): boolean {
    return tasks.every((one) => (
      this.#tally(one, coords.slice(0, sharedDepth(this.#plan.tasks[one], this.#plan.tasks[task]))).complete
    ));
  }

  /** Slots to look at; grows while it is walked. */
  *changed(): IterableIterator<Slot> {
    for (const slot of this.#todo) yield slot;
    this.#todo = [];
  }

  look(task: number): void {
    this.#todo.push(...this.#under(task, []));
  }

  // -- changes -----------------------------------------------------------------------------------------------------------

  /** A task has so many instances here. */
  expanded({ task, coords }: Slot, size: number): void {
    this.#sizes.set(keyOf(task, coords), size);
    for (const tally of this.#levels(task, coords)) tally.open += size - 1;
  }

  /** A gate opens: what lies behind it is there so many times. */
  opened({ task: gate, coords }: Slot, size: number): void {
    this.#sizes.set(keyOf(gate, coords), size);
    if (size === 0) return;
    for (const task of this.#inside[gate]) for (const tally of this.#levels(task, coords)) tally.open += size - 1;
    for (let i = 0; i < size; i += 1) this.#open(gate, [...coords, i]);
  }

  /** A loop has one round more. */
  roundOpened({ task: gate, coords, rounds }: Slot): void {
    this.#sizes.set(keyOf(gate, coords), rounds);
    if (rounds > 1) for (const task of this.#inside[gate]) for (const tally of this.#levels(task, coords)) tally.open += 1;
    this.#open(gate, [...coords, rounds - 1]);
  }

  /** What lies in a loop is not complete before the loop is: one unit more is open meanwhile. */
  hold({ task: gate, coords }: Slot, units: 1 | -1): void {
    for (const task of this.#inside[gate]) {
      for (let depth = coords.length; depth >= 0; depth -= 1) {
        const tally = this.#tally(task, coords.slice(0, depth));
        tally.open += units;
        if (tally.complete) this.#completed(task, coords.slice(0, depth));
      }
    }
  }

  /** What lies behind a gate that does not open: one slot, which has ended. */
  collapsed(task: number, coords: Coords, state: TaskState, reason: string | undefined): void {
    const slot = slotAt(task, coords);
    [slot.state, slot.reason] = [state, reason];
    this.#slots.set(keyOf(task, coords), slot);
  }

  /** An instance, or a slot without any, has ended. */
  ended(task: number, coords: Coords, state: TaskState): void {
    for (let depth = coords.length; depth >= 0; depth -= 1) {
      const at = coords.slice(0, depth);
      const tally = this.#tally(task, at);
      tally.open -= 1;
      tally.ends.add(state);
      if (tally.ends[state as "success"] === 1) this.#after(task, at, (slot) => slot.seen.add(state));
      if (tally.complete) this.#completed(task, at);
    }
    this.#endRound(task, coords);
  }

  /** When it was the last that a round of a loop waits for. */
  #endRound(task: number, coords: Coords): void {
    const { tasks } = this.#plan;
    const depth = tasks[task].scope.findLastIndex((gate) => tasks[gate].loop?.body === task);
    // In a round that is not opened nothing ends.
    if (depth < 0 || coords.length <= depth) return;
    const { complete, ends } = this.#tally(task, coords.slice(0, depth + 1));
    const slot = this.slot(tasks[task].scope[depth], coords.slice(0, depth));
    if (slot === undefined || !complete) return;
    const state = ends.failed + ends.upstreamFailed > 0 ? "failed" : ends.success > 0 ? "success" : "skipped";
    this.#roundEnded(slot, coords[depth], state);
  }

  // -- inside ------------------------------------------------------------------------------------------------------------

  #open(gate: number, coords: Coords): void {
    for (const task of this.#inside[gate]) this.#tallies.set(keyOf(task, coords), new Tally());
    for (const task of this.#inside[gate]) if (this.#plan.tasks[task].scope.length === coords.length) this.#create(task, coords);
  }

  #create(task: number, coords: Coords): void {
    const { tasks } = this.#plan;
    const slot = slotAt(task, coords);
    this.#slots.set(keyOf(task, coords), slot);
    for (const before of tasks[task].upstream) {
      const tally = this.#tally(before, coords.slice(0, sharedDepth(tasks[before], tasks[task])));
      if (!tally.complete) slot.open += 1;
      for (const kind of END_KINDS) if (tally.ends[kind] > 0) slot.seen.add(kind);
    }
    this.#todo.push(slot);
  }

  #tally(task: number, coords: Coords): Tally {
    const tally = this.#tallies.get(keyOf(task, coords));
    if (tally === undefined) throw new Error(`task ${task} has no tally at [${coords.join(",")}]`);
    return tally;
  }

  /** The tallies of a task at a place and above it. */
  #levels(task: number, coords: Coords): Tally[] {
    return Array.from({ length: coords.length + 1 }, (_, depth) => this.#tally(task, coords.slice(0, depth)));
  }

  #completed(task: number, at: Coords): void {
    this.#after(task, at, (slot) => { slot.open -= 1; });
    for (const next of this.#guarded[task]) this.#todo.push(...this.#under(next, at));
    if (at.length === 0) this.#openTasks -= 1;
  }

  /** The slots that look at this tally. */
  #after(task: number, at: Coords, change: (slot: Slot) => void): void {
    for (const link of this.#links[task]) {
      if (link.depth !== at.length) continue;
      for (const slot of this.#under(link.task, at)) {
        change(slot);
        this.#todo.push(slot);
      }
    }
  }

  *#under(task: number, coords: Coords): IterableIterator<Slot> {
    const { scope } = this.#plan.tasks[task];
    const slot = this.slot(task, coords);
    if (slot !== undefined) yield slot;
    if (coords.length >= scope.length) return;
    const size = this.sizeOf(scope[coords.length], coords) ?? 0;
    for (let i = 0; i < size; i += 1) yield* this.#under(task, [...coords, i]);
  }
}
