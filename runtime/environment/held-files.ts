// What a node keeps for its environments: how large each thing is, and for whom. What nobody holds may be removed, the longest
// unused first, when there is more than the limit in all.
//
// Pure books: whoever keeps them removes the files.

export interface HeldThing {
  readonly key: string;
  bytes: number;
  readonly holders: Set<string>;
}

export class HeldFiles {
  readonly #limit: number;
  /** Least recently used first. */
  readonly #things = new Map<string, HeldThing>();
  #bytes = 0;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** It is there and has that size now. */
  keep(key: string, bytes: number): void {
    const thing = this.#things.get(key) ?? { key, bytes: 0, holders: new Set<string>() };
    this.#bytes += bytes - thing.bytes;
    thing.bytes = bytes;
    this.#touch(thing);
  }

  /** False when it is not there. */
  hold(key: string, holder: string): boolean {
    const thing = this.#things.get(key);
    if (thing === undefined) return false;
    thing.holders.add(holder);
    this.#touch(thing);
    return true;
  }

  release(holder: string): void {
    for (const thing of this.#things.values()) thing.holders.delete(holder);
  }

  /** Takes out of the books what is to be removed now. */
  takeSurplus(): string[] {
    const surplus: string[] = [];
    for (const thing of this.#things.values()) {
      if (this.#bytes <= this.#limit) break;
      if (thing.holders.size > 0) continue;
      this.#things.delete(thing.key);
      this.#bytes -= thing.bytes;
      surplus.push(thing.key);
    }
    return surplus;
  }

  #touch(thing: HeldThing): void {
    this.#things.delete(thing.key);
    this.#things.set(thing.key, thing);
  }
}
