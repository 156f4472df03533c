// Which of the instances that may run are started: pools, caps, priorities. For all runs of one engine.
//
// Instances of one task in one run wait in one line, so only heads of lines are looked at. Higher weights go first; but whoever
// could have been started and has seen so many others start has its turn, so a stream of important work starves nobody.

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
  /** Starts of the engine when its head came to the front. */
  since: number;
}

/** Starts of others. */
const PATIENCE = 256;

export class Admission {
  readonly #parallelism: number;
  readonly #lines = new Map<string, Line>();
  /** Lines that only the whole engine limits, by weight: first come, first served. */
  readonly #free = new Map<number, Line[]>();
  /** Lines with caps of their own: looked through. */
  readonly #capped = new Set<Line>();
  readonly #active = new Map<string, number>();
  #orders = 0;
  #starts = 0;

  /** `parallelism`: instances at once, in all. */
  constructor(parallelism: number) {
    this.#parallelism = parallelism;
  }

  add(item: Waiting): void {
    const key = keyOf(item);
    const known = this.#lines.get(key);
    if (known !== undefined) return void known.items.push(item);
    const line = { first: item, items: [item], head: 0, order: this.#orders++, since: this.#starts };
    this.#lines.set(key, line);
    this.#enqueue(line);
  }

  /** Starts what can be started. */
  start(): void {
    for (let line = this.#next(); line !== undefined; line = this.#next()) {
      const item = line.items[line.head];
      line.head += 1;
      line.order = this.#orders++;
      this.#starts += 1;
      line.since = this.#starts;
      this.#dequeue(line);
      if (line.head === line.items.length) this.#lines.delete(keyOf(item));
      else this.#enqueue(line);
      this.#count(item, 1);
      item.start();
    }
  }

  #enqueue(line: Line): void {
    if (isCapped(line.first)) return void this.#capped.add(line);
    const { weight } = line.first;
    const same = this.#free.get(weight);
    if (same === undefined) this.#free.set(weight, [line]);
    else same.push(line);
  }

  /** Free lines are only taken from the front. */
  #dequeue(line: Line): void {
    if (this.#capped.delete(line)) return;
    const { weight } = line.first;
    const same = this.#free.get(weight);
    same?.shift();
    if (same?.length === 0) this.#free.delete(weight);
  }

  ended(item: Waiting): void {
    this.#count(item, -1);
  }

  /** What waits of a run is not started any more. */
  forget(runId: string): void {
    const isOf = ({ first }: Line): boolean => first.runId === runId;
    for (const [key, line] of this.#lines) if (isOf(line)) this.#lines.delete(key);
    for (const line of this.#capped) if (isOf(line)) this.#capped.delete(line);
    for (const [weight, lines] of this.#free) {
      const left = lines.filter((line) => !isOf(line));
      if (left.length === 0) this.#free.delete(weight);
      else this.#free.set(weight, left);
    }
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
    if (this.#lines.size === 0 || (this.#active.get("all") ?? 0) >= this.#parallelism) return undefined;
    let best: Line | undefined;
    let oldest: Line | undefined;
    const look = (line: Line): void => {
      if (best === undefined || isBefore(line, best)) best = line;
      if (oldest === undefined || line.since < oldest.since) oldest = line;
    };
    for (const [line] of this.#free.values()) look(line);
    for (const line of this.#capped) if (this.blockOf(line.items[line.head]) === undefined) look(line);
    return oldest !== undefined && this.#starts - oldest.since >= PATIENCE ? oldest : best;
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

function keyOf({ runId, taskId }: Waiting): string {
  return `${runId}\n${taskId}`;
}

function isCapped({ pool, maxActive, maxActivePerRun, maxActiveTasks }: Waiting): boolean {
  return pool !== undefined || maxActive !== undefined || maxActivePerRun !== undefined || maxActiveTasks !== undefined;
}

function isBefore(a: Line, b: Line): boolean {
  return a.first.weight > b.first.weight || (a.first.weight === b.first.weight && a.order < b.order);
}
