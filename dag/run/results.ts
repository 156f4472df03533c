// The results of a run: what each is held by, what is kept of it, and where it came from after the run changed hands.

import { keyOf, type Place } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import type { Origin, ResultRecord } from "../journal/records.ts";
import type { Draft } from "../graph/draft.ts";
import type { Graph } from "../graph/graph.ts";
import { sourcesOf, tasksRead } from "../graph/reads.ts";
import type { Instance } from "../engine/slots.ts";
import type { Runner } from "./runner.ts";

/** Hears why a checkpoint is of no use. */
type Tell = (taskId: string, text: string) => void;

export class Results {
  readonly handles = new Map<string, unknown>();
  readonly records = new Map<string, ResultRecord>();
  /** Of those that were not simply computed. */
  readonly origins = new Map<string, Origin>();
  readonly #again = new Set<string>();
  #found: (readonly [key: string, origin: Origin])[] = [];

  made(key: string, handle: unknown, record: ResultRecord | undefined): void {
    if (handle !== undefined) this.handles.set(key, handle);
    else this.handles.delete(key);
    if (record === undefined) this.records.delete(key);
    else this.records.set(key, record);
    const origin = record?.cached === true ? "cache" : this.#again.has(key) ? "recomputed" : undefined;
    if (origin !== undefined) this.origins.set(key, origin);
    else this.origins.delete(key);
  }

  /** They are made again. */
  isLost(places: readonly Place[]): void {
    for (const { task, coords } of places) this.#again.add(keyOf(task, coords));
  }

  /** What was found since it was asked last, for the journal. */
  takeFound(): readonly (readonly [key: string, origin: Origin])[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  #foundIn(key: string, origin: "memory" | "checkpoint"): void {
    this.origins.set(key, origin);
    this.#found.push([key, origin]);
  }

  /**
   * Finds results of an earlier life of the run again: where they were, else in their checkpoints. Gives those that are lost.
   * Checkpoints are read that something will read; with `only` those of these tasks, and no others are looked for.
   */
  async recover(
    runner: Runner, machine: RunMachine, graph: Graph, tell: Tell, only?: ReadonlySet<number>,
  ): Promise<Place[]> {
    const missing = [...machine.slots()].flatMap(({ instances = [], task }) => (
      only?.has(task) === false ? [] : instances.filter(({ state, coords }) => this.#isMissing(state, keyOf(task, coords)))
    ));
    const lost = new Set<Instance>();
    const inStore = new Set<Instance>();
    const recorded = missing.filter(({ slot, coords }) => this.records.has(keyOf(slot.task, coords)));
    const recordOf = ({ slot, coords }: Instance): ResultRecord => this.records.get(keyOf(slot.task, coords))!;
    const found = await runner.find(recorded.map(recordOf));
    recorded.forEach((instance, i) => {
      const key = keyOf(instance.slot.task, instance.coords);
      if (found[i] !== undefined) {
        this.handles.set(key, found[i]);
        this.#foundIn(key, "memory");
      } else (recordOf(instance).checkpoint === undefined ? lost : inStore).add(instance);
    });
    // What they let run is in the journal; what was marked by hand has no result.
    await Promise.all(missing.map(async ({ slot: { task }, coords, route }) => {
      const key = keyOf(task, coords);
      if (route === undefined || this.handles.has(key)) return;
      this.handles.set(key, await runner.hold(graph.tasks[task].kind === "branch" ? route.chosen : route.passed));
    }));
    // What is lost is made again, and reads what it was made of.
    for (let size = -1; lost.size > size;) {
      size = lost.size;
      const wanted = only ?? wantedTasks(machine, graph, lost);
      await Promise.all([...inStore].filter(({ slot }) => wanted.has(slot.task)).map(async (instance) => {
        inStore.delete(instance);
        if (!(await this.#load(runner, graph.tasks[instance.slot.task], instance, tell))) lost.add(instance);
      }));
    }
    return [...lost].map(({ slot, coords }) => ({ task: slot.task, coords }));
  }

  #isMissing(state: string, key: string): boolean {
    return state === "success" && !this.handles.has(key);
  }

  async #load(runner: Runner, draft: Draft, { coords }: Instance, tell: Tell): Promise<boolean> {
    const key = keyOf(draft.place, coords);
    const record = this.records.get(key)!;
    const { key: file, store } = record.checkpoint!;
    try {
      this.handles.set(key, await runner.load(record));
      this.#foundIn(key, "checkpoint");
      return true;
    } catch (error) {
      tell(draft.id, `its checkpoint ${file} in store ${store} is of no use: ${(error as Error).message}`);
      return false;
    }
  }
}

/** Tasks that something reads which is still to run, or the run's result. */
function wantedTasks(machine: RunMachine, graph: Graph, lost: ReadonlySet<Instance>): Set<number> {
  const wanted = tasksOfResult(graph);
  for (const { task, state, instances } of machine.slots()) {
    const isDone = instances?.every((one) => one.state === "success" && !lost.has(one)) ?? state === "success";
    if (!isDone) for (const before of sourcesOf(graph.tasks[task])) wanted.add(before.place);
  }
  return wanted;
}

/** Tasks that the run's result is made of. */
export function tasksOfResult({ result }: Graph): Set<number> {
  return new Set(tasksRead(result).map(({ place }) => place));
}
