// Who waits for room in a full store, and whose turn it is.
//
// Pure. Clients take turns, each of them in its own order: one that asks for much gets no more turns than one that asks for
// little, and nobody is passed while it is its turn, so a large request is not starved by small ones.

export class RoomQueue<T> {
  /** By client, the one whose turn it is first. */
  readonly #waiting = new Map<number, T[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Whose turn it is. */
  get head(): T | undefined {
    for (const [first] of this.#waiting.values()) return first;
    return undefined;
  }

  add(client: number, request: T): void {
    const known = this.#waiting.get(client);
    if (known === undefined) this.#waiting.set(client, [request]);
    else known.push(request);
    this.#size += 1;
  }

  /** The head got what it asked for: its client has the last turn now. */
  served(): void {
    for (const [client, requests] of this.#waiting) {
      requests.shift();
      this.#size -= 1;
      this.#waiting.delete(client);
      if (requests.length > 0) this.#waiting.set(client, requests);
      return;
    }
  }

  /** The request is given up, wherever it stands; its client keeps its turn. Safe to call twice. */
  remove(client: number, request: T): void {
    const requests = this.#waiting.get(client);
    const index = requests?.indexOf(request) ?? -1;
    if (requests === undefined || index < 0) return;
    requests.splice(index, 1);
    this.#size -= 1;
    if (requests.length === 0) this.#waiting.delete(client);
  }

  /** All that wait, in no particular order. */
  requests(): T[] {
    return [...this.#waiting.values()].flat();
  }
}
