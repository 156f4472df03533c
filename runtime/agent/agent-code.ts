// Shipped code as a node keeps it: small items as a cache of what the head has, large ones in the node's store, so that all
// workers of the node share one copy. Nothing here looks into it.

import { once } from "../core/index.ts";
import { CodeUnavailableError } from "../errors.ts";
import { CODE_WAIT_MS } from "../head/index.ts";
import type { AnswerBody, ExportCode, FetchCode, Stored } from "../transport/index.ts";
import type { AgentObjects } from "./objects/agent-objects.ts";
import type { HeadLink } from "./head/head-link.ts";

/** Bytes of small items that are kept; what goes first is asked for again. */
export const CACHE_BYTES = 64 * 1024 * 1024;

export interface AgentCodeParts {
  readonly nodeId: string;
  readonly objects: Pick<AgentObjects, "adopt" | "replicate" | "freeLocal">;
  readonly head: () => Pick<HeadLink, "ask">;
}

interface Item {
  readonly bytes: Uint8Array;
  readonly stored: Stored | undefined;
  readonly needs: readonly string[];
  /** Jobs and detached actors the head keeps it for, as far as this node asked. */
  readonly holders: Set<string>;
}

export class AgentCode {
  readonly #parts: AgentCodeParts;
  /** Least recently used first. */
  readonly #items = new Map<string, Item>();
  /** On their way to the head, and asked of it: by item and holder. */
  readonly #exporting = new Map<string, Promise<Item>>();
  readonly #fetching = new Map<string, Promise<Item>>();
  #bytes = 0;

  constructor(parts: AgentCodeParts) {
    this.#parts = parts;
  }

  /** From a process of this node. Answered when the head has it: from then on the exporter's end costs nothing. */
  async export(body: ExportCode, holder: string): Promise<AnswerBody> {
    const { id, stored } = body;
    if (body.failure !== undefined) return { done: await this.#parts.head().ask("exportCode", { ...body, holder }, "done") };
    const key = `${id} ${holder}`;
    if (!this.#items.get(id)?.holders.has(holder)) {
      await once(this.#exporting, key, () => this.#export({ ...body, holder }));
    }
    const kept = this.#items.get(id)?.stored;
    // Somebody else's copy is the one that stays.
    if (stored !== undefined && kept !== undefined && !isSame(stored, kept)) this.#free(stored);
    return { done: {} };
  }

  /** For a process of this node: the bytes, or a place in this node's store. */
  async fetch({ id, name }: FetchCode, holder: string): Promise<AnswerBody> {
    const key = `${id} ${holder}`;
    const known = this.#items.get(id);
    const item = known?.holders.has(holder)
      ? known
      : await (this.#exporting.get(key) ?? once(this.#fetching, key, () => this.#fetch({ id, name, holder })));
    this.#keep(id, item, holder);
    const places = item.stored === undefined ? [] : [item.stored];
    return { codeItem: { id, name, bytes: item.bytes, places, needs: item.needs } };
  }

  /** The head's word that nobody holds these any more. */
  freed(ids: readonly string[]): void {
    for (const id of ids) {
      const item = this.#items.get(id);
      if (item === undefined) continue;
      this.#forget(id, item);
      if (item.stored !== undefined) this.#free(item.stored);
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #export(body: ExportCode): Promise<Item> {
    const { id, name, stored, bytes, needs, holder } = body;
    if (stored !== undefined && !this.#parts.objects.adopt(stored)) {
      const text = `the code of "${name}" was in the store of node ${this.#parts.nodeId}, and is gone`;
      throw new CodeUnavailableError(text, { codeId: id, functionName: name });
    }
    try {
      await this.#parts.head().ask("exportCode", body, "done");
    } catch (error) {
      if (stored !== undefined) this.#free(stored);
      throw error;
    }
    const item = this.#items.get(id) ?? { bytes, stored, needs, holders: new Set<string>() };
    this.#keep(id, item, holder);
    return item;
  }

  async #fetch(body: FetchCode): Promise<Item> {
    const { places, bytes, needs } = await this.#parts.head().ask("fetchCode", body, "codeItem", CODE_WAIT_MS);
    const stored = bytes.length > 0 || this.#items.has(body.id) ? undefined : await this.#bring(places, body);
    const known = this.#items.get(body.id);
    if (known === undefined) return { bytes, stored, needs, holders: new Set() };
    // Another holder's question was quicker.
    if (stored !== undefined && known.stored !== undefined && !isSame(stored, known.stored)) this.#free(stored);
    return known;
  }

  /** From whichever node has it; the head hears of the new copy, so that it outlives the others. */
  async #bring(places: readonly Stored[], { id, name, holder }: FetchCode): Promise<Stored> {
    const here = places.find((place) => place.node === this.#parts.nodeId);
    if (here !== undefined) return here;
    let failure: unknown;
    for (const place of places) {
      let stored: Stored;
      try {
        stored = await this.#parts.objects.replicate(place);
      } catch (error) {
        failure = error;
        continue;
      }
      try {
        await this.#parts.head().ask("exportCode", { id, name, holder, stored }, "done");
      } catch (error) {
        this.#free(stored);
        throw error;
      }
      return stored;
    }
    const text = `the code of "${name}" captured large data that could not be brought to node ${this.#parts.nodeId}`;
    throw new CodeUnavailableError(text, { codeId: id, functionName: name }, failure);
  }

  #free({ slot, generation }: Stored): void {
    this.#parts.objects.freeLocal(slot, generation);
  }

  #keep(id: string, item: Item, holder: string): void {
    item.holders.add(holder);
    if (!this.#items.delete(id)) this.#bytes += item.bytes.length;
    this.#items.set(id, item);
    if (this.#bytes <= CACHE_BYTES) return;
    for (const [oldest, one] of this.#items) {
      if (this.#bytes <= CACHE_BYTES) return;
      // What lies in the store stays until the head says so.
      if (one.stored === undefined) this.#forget(oldest, one);
    }
  }

  #forget(id: string, item: Item): void {
    if (this.#items.delete(id)) this.#bytes -= item.bytes.length;
  }
}

function isSame(one: Stored, other: Stored): boolean {
  return one.node === other.node && one.slot === other.slot && one.generation === other.generation;
}
