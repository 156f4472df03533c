// Virtual time: events in order of their time, one at a time.
//
// Nothing happens but through here, so a seed decides everything. Events at the same time run in the order they were
// scheduled in.

/** Of a 32-bit state: small, and the same everywhere. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  hex(bytes: number): string {
    let text = "";
    for (let index = 0; index < bytes; index += 1) text += Math.floor(this.next() * 256).toString(16).padStart(2, "0");
    return text;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }
}

interface Event {
  readonly at: number;
  readonly order: number;
  /** Undefined after it was cancelled. */
  run: (() => void) | undefined;
  readonly label: string;
}

export class Timeline {
  now = 0;
  readonly #trace: string[] = [];
  /** A heap: each event is no later than its two children. */
  readonly #heap: Event[] = [];
  #order = 0;

  get trace(): readonly string[] {
    return this.#trace;
  }

  note(text: string): void {
    this.#trace.push(`${this.now.toFixed(3)} ${text}`);
  }

  /** An empty label leaves no line. Returns what cancels it. */
  at(time: number, label: string, run: () => void): () => void {
    const event: Event = { at: Math.max(time, this.now), order: this.#order++, run, label };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    for (let event = this.#pop(); event !== undefined; event = this.#pop()) {
      const { run } = event;
      if (run === undefined) continue;
      this.now = event.at;
      if (event.label !== "") this.note(event.label);
      event.run = undefined;
      run();
      return true;
    }
    return false;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[index] = heap[parent];
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child += 1;
      if (!isBefore(heap[child], last)) break;
      heap[index] = heap[child];
      index = child;
    }
    heap[index] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
