// Which tasks an owner remembers after they ended, so that what they made can be made again when its last copy is gone.
//
// Pure. Objects and tasks are numbers; what is needed to run a task again is its `spec`, which nobody here looks at. A task is
// kept while a result of it is reachable: the program holds it, or another kept task was given it (its own result may have to be
// made again from it). Values are not kept: an argument that nobody else holds is freed, and made again first. Puts can't be
// made again. What is kept is bounded: beyond that the oldest tasks are forgotten. What a task was given by value, and lies in a
// store, is kept with it, within a bound of its own.

/** Why an object can't be made again. */
export type Unmakeable =
  /** No task of this process made it. */
  | "put"
  /** Its task may not be run again. */
  | "retries"
  /** Its task was run again as often as it may be. */
  | "exhausted"
  /** Its task was forgotten: too much was to be kept. */
  | "evicted"
  /** Its task ran again, and failed. */
  | "failed";

/** A task that has ended well. */
export interface EndedTask<S> {
  readonly number: number;
  readonly spec: S;
  readonly bytes: number;
  /** In a store, of what it was given by value. */
  readonly storedBytes: number;
  /** Those that lie in a store and are held by the program. */
  readonly results: readonly number[];
  /** Objects of this process that it was given as places in a store. */
  readonly needs: readonly number[];
  /** Runs still allowed; -1 is endless. */
  readonly retriesLeft: number;
}

export interface Rerun<S> {
  readonly number: number;
  readonly spec: S;
  /** Runs allowed after this one. */
  readonly retriesLeft: number;
}

export type Making<S> =
  /** To be run now; empty when what makes the object runs already. Those that others need may come behind them. */
  | { readonly kind: "made"; readonly tasks: readonly Rerun<S>[] }
  /** `object` is the one that was asked for, or one that it needs. */
  | { readonly kind: "lost"; readonly object: number; readonly why: Unmakeable };

export interface LineageParts<S> {
  readonly maxBytes: number;
  readonly maxStoredBytes: number;
  /** It will not run again. */
  readonly taskForgotten: (spec: S) => void;
  /** It will not be made again, and nothing asks for it. */
  readonly objectForgotten: (object: number) => void;
}

interface Kept<S> {
  readonly number: number;
  readonly spec: S;
  readonly bytes: number;
  readonly storedBytes: number;
  readonly results: Set<number>;
  readonly needs: readonly number[];
  retriesLeft: number;
  isRunning: boolean;
}

interface Known<S> {
  maker: Kept<S> | undefined;
  why: Unmakeable;
  /** Its value; freed: given up, though it may be needed again. */
  state: "here" | "lost" | "making" | "freed";
  /** By the program. */
  isHeld: boolean;
  /** Kept tasks that were given it. */
  needed: number;
}

export class Lineage<S> {
  readonly #parts: LineageParts<S>;
  readonly #tasks = new Map<number, Kept<S>>();
  readonly #objects = new Map<number, Known<S>>();
  #bytes = 0;
  #storedBytes = 0;

  constructor(parts: LineageParts<S>) {
    this.#parts = parts;
  }

  get size(): { readonly tasks: number; readonly objects: number; readonly bytes: number } {
    return { tasks: this.#tasks.size, objects: this.#objects.size, bytes: this.#bytes };
  }

  /** For the first time, or again: then only what is left of its runs is news. */
  ended(task: EndedTask<S>): void {
    const again = this.#tasks.get(task.number);
    if (again !== undefined) return this.#endedAgain(again, task.retriesLeft);
    const { results } = task;
    const kept: Kept<S> = { ...task, results: new Set(results), isRunning: false };
    const isMakeable = task.retriesLeft !== 0 && results.length > 0;
    for (const result of results) this.#made(result, isMakeable ? kept : undefined);
    if (!isMakeable) return this.#parts.taskForgotten(task.spec);
    this.#tasks.set(task.number, kept);
    this.#bytes += kept.bytes;
    this.#storedBytes += kept.storedBytes;
    for (const need of kept.needs) this.#known(need).needed += 1;
    this.#evict();
  }

  /** A task that goes on has made one more; true when that is the first that is kept of it. */
  yielded(task: EndedTask<S>): boolean {
    const kept = this.#tasks.get(task.number);
    if (kept === undefined) this.ended(task);
    else for (const result of task.results) this.#made(result, kept);
    for (const result of task.results) kept?.results.add(result);
    return kept === undefined;
  }

  /** A task that was run again has failed for good. */
  failed(number: number): void {
    const task = this.#tasks.get(number);
    if (task?.isRunning) this.#forgetTask(task, "failed");
  }

  /** The program holds it no longer: its value is gone. */
  released(object: number): void {
    const known = this.#objects.get(object);
    if (known === undefined) return;
    known.isHeld = false;
    if (known.state !== "making") known.state = "freed";
    this.#forgetUnreached([object]);
  }

  /** Its last copy is gone. */
  lost(object: number): void {
    const known = this.#objects.get(object);
    if (known?.state === "here") known.state = "lost";
  }

  /** What the task that made it has made. */
  madeWith(object: number): Iterable<number> {
    return this.#objects.get(object)?.maker?.results ?? [];
  }

  /** Its value is on its way, or it could be made. */
  isMakeable(object: number): boolean {
    const known = this.#objects.get(object);
    return known?.state === "making" || known?.maker !== undefined;
  }

  /** The task was run again, and has not ended. */
  isRunning(number: number): boolean {
    return this.#tasks.get(number)?.isRunning === true;
  }

  /** Room is short: what tasks were given by value, and lies in a store, goes, and they can't run again. */
  letGo(): void {
    for (const task of this.#tasks.values()) if (task.storedBytes > 0 && !task.isRunning) this.#forgetTask(task, "evicted");
  }

  /** One that was being made is there; whatever else its task makes may come later. */
  arrived(object: number): void {
    const known = this.#objects.get(object);
    if (known?.state !== "making") return;
    known.state = known.isHeld ? "here" : "freed";
    this.#forgetUnreached([object]);
  }

  /** The run that is under way does not make it. */
  missed(object: number): void {
    const known = this.#objects.get(object);
    if (known?.state === "making") known.state = known.isHeld ? "lost" : "freed";
  }

  /** Its value is made again now. */
  isMaking(object: number): boolean {
    return this.#objects.get(object)?.state === "making";
  }

  /** Somebody asks for an object that is lost. What has to be run again counts as running from now on. */
  wanted(object: number): Making<S> {
    const tasks = new Set<Kept<S>>();
    const open = [object];
    const seen = new Set(open);
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      const known = this.#objects.get(next);
      if (known?.state === "here" || known?.state === "making") continue;
      const maker = known?.maker;
      if (maker === undefined) return { kind: "lost", object: next, why: known?.why ?? "put" };
      if (maker.retriesLeft === 0 && !maker.isRunning) return { kind: "lost", object: next, why: "exhausted" };
      tasks.add(maker);
      if (maker.isRunning) continue;
      for (const need of maker.needs) if (!seen.has(need)) open.push(need);
      for (const need of maker.needs) seen.add(need);
    }
    const idle = [...tasks].filter(({ isRunning }) => !isRunning);
    for (const task of tasks) this.#rerun(task, seen);
    return { kind: "made", tasks: idle.map(({ number, spec, retriesLeft }) => ({ number, spec, retriesLeft })) };
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #made(result: number, maker: Kept<S> | undefined): void {
    const why = maker === undefined ? "retries" : "put";
    this.#objects.set(result, { maker, why, state: "here", isHeld: true, needed: 0 });
  }

  #known(object: number): Known<S> {
    let known = this.#objects.get(object);
    if (known === undefined) {
      known = { maker: undefined, why: "put", state: "here", isHeld: true, needed: 0 };
      this.#objects.set(object, known);
    }
    return known;
  }

  #rerun(task: Kept<S>, wanted: ReadonlySet<number>): void {
    if (!task.isRunning && task.retriesLeft > 0) task.retriesLeft -= 1;
    task.isRunning = true;
    for (const result of task.results) {
      const known = this.#objects.get(result);
      // What else it made, and was lost too, comes with it.
      if (known?.state !== "lost" && !(known?.state === "freed" && wanted.has(result))) continue;
      known.state = "making";
      known.isHeld = true;
    }
  }

  #endedAgain(task: Kept<S>, retriesLeft: number): void {
    task.isRunning = false;
    task.retriesLeft = retriesLeft;
    for (const result of task.results) {
      const known = this.#objects.get(result);
      if (known?.state === "making") known.state = known.isHeld ? "here" : "freed";
    }
    this.#forgetUnreached([...task.results]);
  }

  #evict(): void {
    const { maxBytes, maxStoredBytes } = this.#parts;
    if (this.#bytes <= maxBytes && this.#storedBytes <= maxStoredBytes) return;
    for (const task of this.#tasks.values()) {
      const helps = this.#bytes > maxBytes || task.storedBytes > 0;
      if (helps && !task.isRunning) this.#forgetTask(task, "evicted");
      if (this.#bytes <= maxBytes && this.#storedBytes <= maxStoredBytes) return;
    }
  }

  /** What it made can't be made again. */
  #forgetTask(task: Kept<S>, why: Unmakeable): void {
    for (const result of task.results) {
      const known = this.#objects.get(result) as Known<S>;
      known.maker = undefined;
      known.why = why;
      if (known.state === "making") known.state = known.isHeld ? "lost" : "freed";
    }
    this.#forgetUnreached([...task.results, ...this.#dropTask(task)]);
  }

  /** Forgets those of `objects` that nobody reaches, and what only they kept. */
  #forgetUnreached(objects: number[]): void {
    for (let object = objects.pop(); object !== undefined; object = objects.pop()) {
      const known = this.#objects.get(object);
      if (known === undefined || known.state !== "freed" || known.needed > 0) continue;
      this.#objects.delete(object);
      this.#parts.objectForgotten(object);
      const { maker } = known;
      maker?.results.delete(object);
      if (maker?.results.size === 0) objects.push(...this.#dropTask(maker));
    }
  }

  /** Returns what it needed. */
  #dropTask(task: Kept<S>): readonly number[] {
    this.#tasks.delete(task.number);
    this.#bytes -= task.bytes;
    this.#storedBytes -= task.storedBytes;
    this.#parts.taskForgotten(task.spec);
    for (const need of task.needs) (this.#objects.get(need) as Known<S>).needed -= 1;
    return task.needs;
  }
}
