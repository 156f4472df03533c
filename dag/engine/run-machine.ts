// One run of a graph: events in, effects out. No clock, no I/O, no values: times are in the events.
//
// A slot is looked at again only when a tally before it has its first end of a kind, or is complete: no trigger rule can tell
// more. So the cost of an end does not grow with the number of instances beside it.

import type { RunEffect, RunEvent, Whereabouts } from "./events.ts";
import { type Coords, descendants, instanceName, keyOf, type Place, type Plan, sharedDepth } from "./plan.ts";
import { retryWaitMs } from "./retry-wait.ts";
import { decisionOf } from "./decision.ts";
import { EarlierLife } from "./earlier-life.ts";
import { Field } from "./field.ts";
import { attemptOf, type Instance, type KnownEnd, type Slot, spentOf } from "./slots.ts";
import { isOver, isTerminal, type RunState, type TaskState } from "./states.ts";

export interface RunInfo {
  readonly logicalDate: Date;
}

const NOTHING = "there is nothing to expand over";
const BEGINNINGS: ReadonlySet<RunEvent["type"]> = new Set(["started", "cleared", "marked", "resumed"]);

export class RunMachine {
  readonly plan: Plan;
  readonly #info: RunInfo;
  readonly #field: Field;
  readonly #earlier: EarlierLife;
  #forced = new Map<string, string>();
  #blocked = new Set<number>();
  #effects: RunEffect[] = [];
  #state: RunState = "queued";
  #override: { readonly state: "failed" | "cancelled"; readonly reason: string } | undefined;
  #now = 0;
  #life = 0;

  constructor(plan: Plan, info: RunInfo) {
    this.plan = plan;
    this.#info = info;
    this.#field = new Field(plan, (slot, round, state) => this.#roundEnded(slot, round, state));
    this.#earlier = new EarlierLife(plan, this.#field);
  }

  /** Grows when something is run anew: what was read of the run before may be another now. */
  get life(): number {
    return this.#life;
  }

  /** True while the task waits for the run before. */
  isBlocked(task: number): boolean {
    return this.#blocked.has(task);
  }

  get state(): RunState {
    return this.#state;
  }

  /** Why it was ended, when it was. */
  get endedFor(): string | undefined {
    return this.#override?.reason;
  }

  step(event: RunEvent): readonly RunEffect[] {
    this.#now = event.at;
    this.#effects = [];
    if (BEGINNINGS.has(event.type)) this.#restart(event);
    else if (!isOver(this.#state)) this.#handle(event);
    this.#settle();
    return this.#effects;
  }

  instance(task: number, coords: Coords): Instance | undefined {
    const { mapped, kind } = this.plan.tasks[task];
    const own = mapped && kind !== "gate";
    const slot = this.#field.slot(task, own ? coords.slice(0, -1) : coords);
    return slot?.instances?.[own ? (coords.at(-1) ?? 0) : 0];
  }

  slot(task: number, coords: Coords): Slot | undefined {
    return this.#field.slot(task, coords);
  }

  /** Elements of a gate or of a mapped task at a place; undefined until it is expanded. */
  sizeOf(task: number, coords: Coords): number | undefined {
    return this.#field.sizeOf(task, coords);
  }

  slots(): IterableIterator<Slot> {
    return this.#field.slots();
  }

  /** Of a task: its instances, and the slots that have none. */
  placesOf(task: number): (Instance | Slot)[] {
    const slots = [...this.slots()].filter((slot) => slot.task === task);
    return slots.flatMap((slot): (Instance | Slot)[] => slot.instances ?? [slot]);
  }

  // -- events ------------------------------------------------------------------------------------------------------------

  #restart(event: RunEvent): void {
    const isLive = this.#state === "running" && event.type !== "resumed";
    if (event.type === "cleared") this.#leave(this.#earlier.cleared(event, isLive), "it was cleared");
    else if (event.type === "marked") this.#mark(event, isLive);
    else if (event.type === "resumed") this.#earlier.resumed(event);
    if (!isLive && (event.type !== "resumed" || event.anew)) {
      this.#override = undefined;
      this.#blocked = new Set(event.type === "started" ? event.blocked : []);
    }
    this.#rebuild(isLive);
  }

  #mark(event: Extract<RunEvent, { type: "marked" }>, isLive: boolean): void {
    const { state } = event;
    const { marked, left } = this.#earlier.marked(event, isLive);
    this.#leave(left, "it was marked by hand");
    for (const place of marked) {
      this.#effects.push({ kind: "state", ...place, state, attempt: this.#earlier.attemptOf(place), byHand: true });
    }
  }

  #leave(places: readonly Place[], reason: string): void {
    for (const { task, coords } of places) this.#effects.push({ kind: "leave", task, coords, reason });
  }

  #rebuild(isLive: boolean): void {
    this.#life += 1;
    this.#forced = new Map();
    if (!isLive) this.#toRun("running");
    this.#field.reset();
    if (this.plan.tasks.length === 0) this.#toRun("success");
  }

  #handle(event: RunEvent): void {
    switch (event.type) {
      case "started": case "cleared": case "marked": case "resumed": return;
      case "past":
        for (const task of event.tasks) {
          this.#blocked.delete(task);
          this.#field.look(task);
        }
        return;
      case "ended":
        return this.#endEarly(event.state, event.reason);
      case "expanded": case "notExpanded": case "round": case "roundFailed": {
        const slot = this.#field.slot(event.task, event.coords);
        if (slot === undefined) return;
        if (event.type === "round") return this.#judged(slot, event.stop);
        if (event.type === "roundFailed")
          return slot.state === "running" ? this.#endLoop(slot, "failed", event.reason) : undefined;
        if (slot.state !== "scheduled") return;
        return event.type === "expanded" ? this.#expand(slot, event.size) : this.#conclude(slot, "failed", event.reason);
      }
      default: {
        const instance = this.instance(event.task, event.coords);
        if (instance !== undefined && !isTerminal(instance.state)) this.#instanceEvent(instance, event);
      }
    }
  }

  #instanceEvent(instance: Instance, event: RunEvent): void {
    const { task } = instance.slot;
    switch (event.type) {
      case "admitted":
        // Of the attempt before.
        [instance.startedAt, instance.nodeId, instance.workerPid] = [undefined, undefined, undefined];
        return this.#toState(instance, "queued");
      case "running":
        // What goes on after a wait is the same attempt.
        if (instance.hasDeferred !== true) instance.starts += 1;
        instance.hasDeferred = false;
        instance.since ??= event.at;
        [instance.startedAt, instance.repeats] = [event.at, 0];
        ranAt(instance, event);
        return this.#toState(instance, "running");
      case "succeeded":
        ranAt(instance, event);
        if (event.chosen !== undefined || event.passed !== undefined) {
          instance.route = { chosen: event.chosen, passed: event.passed };
        }
        this.#route(instance);
        return this.#finish(instance, "success");
      case "skipped":
        return this.#finish(instance, "skipped", event.reason);
      case "failed": {
        instance.tries += 1;
        instance.spent = spentOf(instance) + 1;
        ranAt(instance, event);
        const { retry } = this.plan.tasks[task];
        if (event.final || instance.tries > retry.retries || this.#stopped(task))
          return this.#finish(instance, "failed", event.reason);
        const subject = {
          dagId: this.plan.dagId,
          taskId: instanceName(this.plan.tasks[task].id, instance.coords).id,
          tryNumber: instance.tries,
        };
        const until = event.at + retryWaitMs(retry, { ...subject, logicalDate: this.#info.logicalDate });
        return this.#wait(instance, "upForRetry", until, event.reason);
      }
      case "deferred":
        instance.hasDeferred = true;
        return this.#wait(instance, "deferred", event.until);
      case "due":
        return this.#schedule(instance);
    }
  }

  // -- slots -------------------------------------------------------------------------------------------------------------

  #settle(): void {
    for (const slot of this.#field.changed()) this.#advance(slot);
    if (this.#field.complete && !isOver(this.#state)) this.#concludeRun();
  }

  #advance(slot: Slot): void {
    if (slot.state !== "none" || slot.instances !== undefined) return;
    const task = this.plan.tasks[slot.task];
    const known = this.#earlier.slot(slot);
    if (known !== undefined) return this.#takeOver(slot, known);
    if (this.#earlier.hasBegun(slot)) return this.#begin(slot);
    const forced = this.#forcedReason(slot);
    if (forced !== undefined) return this.#conclude(slot, "skipped", forced);
    if (this.#blocked.has(slot.task) && !this.#stopped(slot.task)) return;
    const decision = decisionOf(task, slot, this.#field);
    if (decision === "wait") return;
    if (decision !== "run") this.#conclude(slot, decision);
    else if (this.#stopped(slot.task)) this.#conclude(slot, "skipped", this.#override?.reason);
    else this.#begin(slot);
  }

  /** True when the run is being ended and this is not there to clean up. */
  #stopped(task: number): boolean {
    return this.#override !== undefined && this.plan.tasks[task].rule !== "teardown";
  }

  #begin(slot: Slot): void {
    const { kind, mapped, loop } = this.plan.tasks[slot.task];
    if (loop !== undefined) {
      slot.state = "running";
      this.#field.hold(slot, 1);
      this.#openRound(slot);
    } else if (mapped) {
      slot.state = "scheduled";
      this.#effects.push({ kind: "measure", task: slot.task, coords: slot.coords });
    } else {
      const instance = this.#earlier.instance(slot, slot.coords);
      slot.instances = [instance];
      if (kind === "noop" && !isTerminal(instance.state)) this.#finish(instance, "success");
      else this.#enter(instance);
    }
  }

  #expand(slot: Slot, size: number): void {
    const { kind } = this.plan.tasks[slot.task];
    if (kind === "gate") {
      slot.state = "success";
      this.#openGate(slot, size);
      return this.#field.ended(slot.task, slot.coords, "success");
    }
    if (size === 0) return this.#conclude(slot, "skipped", NOTHING);
    this.#field.expanded(slot, size);
    slot.instances = Array.from({ length: size }, (_, i) => this.#earlier.instance(slot, [...slot.coords, i]));
    for (const instance of slot.instances) this.#enter(instance);
  }

  /** As it was in an earlier life of the run. */
  #takeOver(slot: Slot, known: KnownEnd): void {
    const { kind, loop } = this.plan.tasks[slot.task];
    if (loop !== undefined) {
      const isLive = !isTerminal(known.state);
      if (isLive) this.#field.hold(slot, 1);
      for (let round = 0; round < (known.size ?? 0); round += 1) this.#openRound(slot);
      [slot.state, slot.reason] = [known.state, known.reason];
      if (isLive) return;
      if (known.size === undefined) this.#collapse(slot, known.state);
      return this.#field.ended(slot.task, slot.coords, known.state);
    }
    if (known.size !== undefined && (kind === "gate" || known.size > 0)) return this.#expand(slot, known.size);
    this.#conclude(slot, known.state, known.reason);
  }

  /** Ends it without any instance of its own. */
  #conclude(slot: Slot, state: TaskState, reason?: string): void {
    const { kind } = this.plan.tasks[slot.task];
    [slot.state, slot.reason] = [state, reason];
    if (kind === "gate" || (kind === "loop" && slot.rounds === 0)) this.#collapse(slot, state, reason);
    this.#tell(slot.task, slot.coords, state, 0, reason);
    this.#field.ended(slot.task, slot.coords, state);
  }

  // -- gates and loops ---------------------------------------------------------------------------------------------------

  #openGate(slot: Slot, size: number): void {
    if (size === 0) {
      this.#field.opened(slot, 0);
      this.#collapse(slot, "skipped", NOTHING);
    } else this.#field.opened(slot, size);
  }

  /** What lies behind a gate that does not open has no instance, and its state. */
  #collapse(gate: Slot, state: TaskState, reason?: string): void {
    const inside = this.#field.inside(gate.task);
    for (const task of inside) {
      // Where the gate failed, what comes first behind it has failed.
      const isLater = state === "failed" && this.plan.tasks[task].upstream.some((before) => inside.includes(before));
      const [own, why] = isLater ? (["upstreamFailed", undefined] as const) : [state, reason];
      this.#field.collapsed(task, gate.coords, own, why);
      this.#tell(task, gate.coords, own, 0, why);
      this.#field.ended(task, gate.coords, own);
    }
  }

  #openRound(slot: Slot): void {
    slot.rounds += 1;
    this.#field.roundOpened(slot);
  }

  /** The last task of a round of a loop has ended. */
  #roundEnded(slot: Slot, round: number, state: TaskState): void {
    const { loop } = this.plan.tasks[slot.task];
    if (slot.state !== "running" || loop === undefined || round !== slot.rounds - 1) return;
    if (state !== "success") return this.#endLoop(slot, state === "skipped" ? "skipped" : "upstreamFailed");
    if (loop.until) {
      this.#effects.push({ kind: "judge", task: slot.task, coords: slot.coords, round });
    } else this.#judged(slot, slot.rounds >= loop.max);
  }

  #judged(slot: Slot, stop: boolean): void {
    const { loop } = this.plan.tasks[slot.task];
    if (slot.state !== "running" || loop === undefined) return;
    if (stop) this.#endLoop(slot, "success");
    else if (slot.rounds < loop.max) this.#openRound(slot);
    else this.#endLoop(slot, "failed", `it did not converge within ${loop.max} rounds`);
  }

  #endLoop(slot: Slot, state: TaskState, reason?: string): void {
    this.#field.hold(slot, -1);
    this.#conclude(slot, state, reason);
  }

  // -- instances ---------------------------------------------------------------------------------------------------------

  #wait(instance: Instance, state: "upForRetry" | "deferred", until: number, reason?: string): void {
    instance.until = until;
    this.#toState(instance, state, reason);
    this.#effects.push({ kind: "wait", task: instance.slot.task, coords: instance.coords, until });
  }

  /** Begins it, or takes it over as far as it had come. What is on its way is not begun twice. */
  #enter(instance: Instance): void {
    const { slot, until, state } = instance;
    if (isTerminal(state)) {
      this.#route(instance);
      this.#field.ended(slot.task, slot.coords, state);
    } else if (state !== "none") return;
    else if (until !== undefined) this.#wait(instance, instance.hasDeferred === true ? "deferred" : "upForRetry", until);
    else this.#schedule(instance);
  }

  #schedule(instance: Instance): void {
    const { slot: { task }, coords } = instance;
    instance.until = undefined;
    this.#toState(instance, "scheduled");
    this.#effects.push({ kind: "ready", task, coords, attempt: instance.starts });
  }

  #finish(instance: Instance, state: TaskState, reason?: string): void {
    instance.endedAt = this.#now;
    this.#toState(instance, state, reason);
    this.#field.ended(instance.slot.task, instance.slot.coords, state);
  }

  #toState(instance: Instance, state: TaskState, reason?: string): void {
    [instance.state, instance.reason] = [state, reason];
    this.#tell(instance.slot.task, instance.coords, state, attemptOf(instance), reason);
  }

  #tell(task: number, coords: Coords, state: TaskState, attempt: number, reason?: string): void {
    this.#effects.push({ kind: "state", task, coords, state, attempt, reason });
  }

  /** Branches and short circuits: what is not to run is known before anything after them is looked at. */
  #route({ slot, state, route }: Instance): void {
    if (state === "failed" || state === "skipped") return;
    const { chosen, passed = true } = route ?? {};
    const { kind, id, choices } = this.plan.tasks[slot.task];
    if (kind === "branch" && chosen !== undefined) {
      const taken = chosen.flatMap((key) => choices[key] ?? []);
      const after = descendants(this.plan, taken);
      const others = Object.values(choices).flat().filter((task) => !taken.includes(task) && !after.has(task));
      this.#force(slot, others, `${id} chose ${chosen.length === 0 ? "nothing" : chosen.join(", ")}`);
    }
    if ((kind === "shortCircuit" || kind === "latestOnly") && !passed) {
      const after = [...descendants(this.plan, [slot.task])].filter((task) => this.plan.tasks[task].rule !== "teardown");
      this.#force(slot, after, `${id} let nothing pass`);
    }
  }

  #force(from: Slot, tasks: Iterable<number>, reason: string): void {
    for (const task of tasks) {
      const depth = sharedDepth(this.plan.tasks[from.task], this.plan.tasks[task]);
      this.#forced.set(keyOf(task, from.coords.slice(0, depth)), reason);
    }
  }

  #forcedReason({ task, coords }: Slot): string | undefined {
    if (this.#forced.size === 0) return undefined;
    for (let depth = coords.length; depth >= 0; depth -= 1) {
      const reason = this.#forced.get(keyOf(task, coords.slice(0, depth)));
      if (reason !== undefined) return reason;
    }
    return undefined;
  }

  // -- the run -----------------------------------------------------------------------------------------------------------

  #endEarly(state: "failed" | "cancelled", reason: string): void {
    if (this.#override !== undefined) return;
    this.#override = { state, reason };
    for (const slot of [...this.#field.slots()]) {
      if (!this.#stopped(slot.task)) continue;
      for (const instance of slot.instances ?? []) this.#stopInstance(instance, reason);
      if (slot.instances !== undefined || isTerminal(slot.state)) continue;
      if (slot.state === "running") this.#endLoop(slot, "skipped", reason);
      else this.#conclude(slot, "skipped", reason);
    }
  }

  #stopInstance(instance: Instance, reason: string): void {
    if (isTerminal(instance.state)) return;
    const { slot: { task }, coords } = instance;
    instance.stopped = true;
    const isUnderWay = instance.state === "queued" || instance.state === "running" || instance.hasDeferred === true;
    if (isUnderWay) this.#effects.push({ kind: "stop", task, coords, reason });
    this.#finish(instance, instance.state === "running" ? "failed" : "skipped", reason);
  }

  #concludeRun(): void {
    if (this.#override !== undefined) return this.#toRun(this.#override.state, this.#override.reason);
    const failed = this.plan.tasks.some(({ leaf }, task) => {
      const ends = this.#field.ends(task);
      return leaf && ends.failed + ends.upstreamFailed > 0;
    });
    this.#toRun(failed ? "failed" : "success");
  }

  #toRun(state: RunState, reason?: string): void {
    this.#state = state;
    this.#effects.push({ kind: "run", state, reason });
  }
}

/** Where it runs, or has run at last. Every start counts as an attempt. */
function ranAt(instance: Instance, { nodeId, workerPid, repeats = instance.repeats ?? 0 }: Whereabouts): void {
  instance.starts += repeats - (instance.repeats ?? 0);
  [instance.nodeId, instance.workerPid, instance.repeats] = [nodeId, workerPid, repeats];
}
