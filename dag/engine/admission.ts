// Which of the instances that may run are started: pools, caps, priorities. For all runs of one engine.
//
// Instances of one task in one run wait in one line, so only heads of lines are looked at. Higher weights go first; but every
// eighth start goes to whoever has waited longest, so a stream of important work starves nobody.

export interface Waiting {
  readonly runId: string;
  readonly dagId: string;
  readonly taskId: string;
  readonly weight: number;
  readonly pool: { readonly name: string; readonly slots: number } | undefined;
  readonly poolSlots: number;
  readonly maxActive: number | undefined;
  readonly maxActivePerRun: number | undefined;
  /** Of its run. */
  readonly maxActiveTasks: number | undefined;
  /** Starts it. */
  readonly start: () => void;
}

interface Line {
  readonly first: Waiting;
  readonly items: Waiting[];
  head: number;
  order: number;
}

const FAIR_EVERY = 8;

export class Admission {
  readonly #parallelism: number;
  readonly #lines = new Map<string, Line>();
  readonly #active = new Map<string, number>();
  #orders = 0;
  #starts = 0;

  /** `parallelism`: instances at once, in all. */
  constructor(parallelism: number) {
    this.#parallelism = parallelism;
  }

  add(item: Waiting): void {
    const key = `${item.runId}\n${item.taskId}`;
    const line = this.#lines.get(key);
    if (line === undefined) this.#lines.set(key, { first: item, items: [item], head: 0, order: this.#orders++ });
    else line.items.push(item);
  }

  /** Starts what can be started. */
  start(): void {
    for (let line = this.#next(); line !== undefined; line = this.#next()) {
      const item = line.items[line.head];
      line.head += 1;
      line.order = this.#orders++;
      if (line.head === line.items.length) this.#lines.delete(`${item.runId}\n${item.taskId}`);
      this.#count(item, 1);
      this.#starts += 1;
      item.start();
    }
  }

  ended(item: Waiting): void {
    this.#count(item, -1);
  }

  /** What waits of a run is not started any more. */
  forget(runId: string): void {
    for (const [key, { first }] of this.#lines) if (first.runId === runId) this.#lines.delete(key);
  }

  /** What keeps an instance of the task from being started; undefined when nothing does. */
  blockOf(item: Waiting): { readonly kind: string; readonly text: string } | undefined {
    const caps = this.#caps(item);
    const full = caps.find(({ key, by, most }) => (this.#active.get(key) ?? 0) + by > most);
    return full === undefined
      ? undefined
      : { kind: full.kind, text: `${full.text}: ${this.#active.get(full.key) ?? 0} of ${full.most} in use` };
  }

  #next(): Line | undefined {
    const fair = this.#starts % FAIR_EVERY === FAIR_EVERY - 1;
    let best: Line | undefined;
    for (const line of this.#lines.values()) {
      if (this.blockOf(line.items[line.head]) !== undefined) continue;
      if (best === undefined || (fair ? line.order < best.order : line.first.weight > best.first.weight)) best = line;
      else if (!fair && line.first.weight === best.first.weight && line.order < best.order) best = line;
    }
    return best;
  }

  #caps(item: Waiting): { kind: string; key: string; by: number; most: number; text: string }[] {
    const { runId, dagId, taskId, pool, poolSlots, maxActive, maxActivePerRun, maxActiveTasks } = item;
    const caps = [{ kind: "parallelism", key: "all", by: 1, most: this.#parallelism, text: "tasks of the engine" }];
    if (pool !== undefined) {
      caps.push({ kind: "pool", key: `pool ${pool.name}`, by: poolSlots, most: pool.slots, text: `slots of pool ${pool.name}` });
    }
    if (maxActiveTasks !== undefined) {
      caps.push({ kind: "maxActiveTasks", key: `run ${runId}`, by: 1, most: maxActiveTasks, text: `tasks of run ${runId}` });
    }
    if (maxActive !== undefined) {
      caps.push({ kind: "maxActive", key: `task ${dagId} ${taskId}`, by: 1, most: maxActive, text: `instances of ${taskId}` });
    }
    if (maxActivePerRun !== undefined) {
      const key = `task ${runId} ${taskId}`;
      caps.push({ kind: "maxActivePerRun", key, by: 1, most: maxActivePerRun, text: `instances of ${taskId} in run ${runId}` });
    }
    return caps;
  }

  #count(item: Waiting, sign: 1 | -1): void {
    for (const { key, by } of this.#caps(item)) {
      const now = (this.#active.get(key) ?? 0) + sign * by;
      if (now === 0) this.#active.delete(key);
      else this.#active.set(key, now);
    }
  }
}
