// Shipped code of a cluster by content hash: who holds it, where its large parts lie, and what a holder may keep at most.
//
// A holder is a job or a detached actor. Whoever holds code holds the data that it needs too. An item without a holder is freed.

/** Where a large item lies: a sealed object of a node's store. */
export interface CodePlace {
  readonly node: string;
  readonly slot: number;
  readonly generation: number;
  readonly size: number;
}
export interface CodeDraft {
  readonly id: string;
  /** For messages to people. */
  readonly name: string;
  /** Empty for an item that lies in stores. */
  readonly bytes: Uint8Array;
  readonly place: CodePlace | undefined;
  /** Ids of data that this code is not complete without. */
  readonly needs: readonly string[];
}
interface Item {
  readonly id: string;
  readonly name: string;
  readonly bytes: Uint8Array;
  places: readonly CodePlace[];
  readonly needs: readonly string[];
  readonly holders: Set<string>;
}
export type KnownCode = Readonly<Omit<Item, "holders">>;

/** What the books cost beside an item's own bytes: empty functions are not free. */
const ITEM_BYTES = 256;

export class CodeBook {
  readonly #limit: number;
  readonly #items = new Map<string, Item>();
  readonly #held = new Map<string, { readonly ids: Set<string>; bytes: number }>();

  /** `limit`: bytes a holder may keep. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.size;
  }

  holders(): IterableIterator<string> {
    return this.#held.keys();
  }

  bytesOf(holder: string): number {
    return this.#held.get(holder)?.bytes ?? 0;
  }

  /** Takes an item for a holder, or one more place of it. False when the holder may keep no more; a repeat changes nothing. */
  add(holder: string, { id, name, bytes, place, needs }: CodeDraft): boolean {
    const item = this.#items.get(id) ?? { id, name, bytes, places: [], needs, holders: new Set<string>() };
    if (!this.#mayHold(holder, item)) return false;
    if (place !== undefined && !item.places.some((known) => isSame(known, place))) item.places = [...item.places, place];
    this.#items.set(id, item);
    this.#hold(holder, item);
    return true;
  }

  find(id: string): KnownCode | undefined {
    return this.#items.get(id);
  }

  /** Keeps an item, and what it needs, for one more holder; false when the holder may keep no more. */
  hold(holder: string, id: string): boolean {
    const item = this.#items.get(id);
    if (item === undefined) return true;
    if (!this.#mayHold(holder, item)) return false;
    this.#hold(holder, item);
    return true;
  }

  /** The holder is gone: ids of what it held, and of what nobody holds any more. */
  release(holder: string): { freed: string[]; held: string[] } {
    const freed: string[] = [];
    const held = [...(this.#held.get(holder)?.ids ?? [])];
    for (const id of held) {
      const item = this.#items.get(id) as Item;
      item.holders.delete(holder);
      if (item.holders.size > 0) continue;
      this.#items.delete(id);
      freed.push(id);
    }
    this.#held.delete(holder);
    return { freed, held };
  }

  /** What lay in that node's store lies there no more. */
  nodeDied(node: string): void {
    for (const item of this.#items.values()) {
      if (item.places.some((place) => place.node === node)) item.places = item.places.filter((place) => place.node !== node);
    }
  }

  #mayHold(holder: string, item: Item): boolean {
    return item.holders.has(holder) || this.bytesOf(holder) + costOf(item) <= this.#limit;
  }

  #hold(holder: string, item: Item): void {
    let held = this.#held.get(holder);
    if (held === undefined) this.#held.set(holder, (held = { ids: new Set(), bytes: 0 }));
    for (const one of [item, ...item.needs.map((id) => this.#items.get(id))]) {
      if (one === undefined || one.holders.has(holder)) continue;
      one.holders.add(holder);
      held.ids.add(one.id);
      held.bytes += costOf(one);
    }
  }
}

function costOf(item: Item): number {
  return ITEM_BYTES + item.bytes.length;
}

function isSame(one: CodePlace, other: CodePlace): boolean {
  return one.node === other.node && one.slot === other.slot && one.generation === other.generation;
}
