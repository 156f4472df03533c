// The node's object store as its agent runs it: grants to clients, frees, and copies of objects of other nodes.
//
// A copy is fetched in chunks over the link to the node that has the object, once however many ask. Who serves chunks remembers
// who took a copy and passes a later free on, so the owner needs to know only where the object was made.

import { ConnectionError, ObjectLostError, ObjectStoreFullError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { ObjectOwner, StoreBroker, StoreClient, StoreHost, WritableObject } from "../store/index.ts";
import type {
  AllocateObject, AnswerBody, Caller, Channel, Draft, FetchObject, FreeObjects, GrantDescriptors, GrantSlab, ReadChunk, Stored,
} from "../transport/index.ts";
import { FarObjects } from "./far-objects.ts";
import { Orphans, type GoneOwner } from "./orphans.ts";
import type { Peers } from "./peers.ts";

export const CHUNK_BYTES = 1024 * 1024;
/** Chunks of one object under way at once. */
const CHUNK_WINDOW = 8;
const CHUNK_TIMEOUT_MS = 30_000;
/** A creation that finds the store full waits this long for others to free something. */
export const FULL_WAIT_MS = 10_000;
const RETRY_FULL_MS = 10;

export interface AgentObjectsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly host: StoreHost;
  readonly client: StoreClient;
  /** Number of `client`. */
  readonly clientNumber: number;
  readonly caller: Caller;
  readonly peers: Pick<Peers, "connect" | "find">;
}

export class AgentObjects {
  readonly #parts: AgentObjectsParts;
  /** Local copies by the place of their source. */
  readonly #copies = new Map<string, Stored>();
  readonly #fetching = new Map<string, Promise<Stored>>();
  /** Nodes that took a copy of a local object. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #orphans: Orphans;
  #waiting = 0;
  #copied = 0;

  constructor(parts: AgentObjectsParts) {
    this.#parts = parts;
    this.#orphans = new Orphans(parts.clock, parts.host, ({ slot, generation }) => this.freeLocal(slot, generation));
  }

  /** A process, or all of a node: what they owned is nobody's. */
  ownerGone(owner: GoneOwner): void {
    this.#orphans.ownerGone(owner);
  }

  sweep(): void {
    this.#parts.host.sweep();
    this.#orphans.sweep();
  }

  /** For a driver that shares no memory with this agent. */
  farObjects(driver: ObjectOwner): FarObjects {
    return new FarObjects(this.#parts.client, driver);
  }

  /** Bytes that came from other nodes since the start. */
  get copiedBytes(): number {
    return this.#copied;
  }

  slab(client: number, body: GrantSlab): Promise<AnswerBody> {
    return this.#whenRoom(0, () => this.#parts.host.slab(client, body.sizeClass)).then((slab) => ({ slab }));
  }

  descriptors(client: number, body: GrantDescriptors): Promise<AnswerBody> {
    return this.#whenRoom(0, () => this.#parts.host.descriptors(client, body.count)).then((handles) => ({
      descriptors: { slots: handles.map((one) => one.slot), generations: handles.map((one) => one.generation) },
    }));
  }

  allocate(client: number, body: AllocateObject): Promise<AnswerBody> {
    const { capacity } = this.#parts.host.stats();
    if (body.bytes > capacity) {
      throw new ObjectStoreFullError(
        `an object of ${body.bytes} bytes does not fit the object store of node ${this.#parts.nodeId} (${capacity} bytes); ` +
          "start the node with a larger --object-store-memory",
      );
    }
    return this.#whenRoom(body.bytes, () => this.#parts.host.allocate(client, body.bytes)).then((object) => ({ object }));
  }

  /** From a process of this node, or from another agent about copies of its objects. */
  free(message: FreeObjects, fromPeer: boolean): void {
    if (fromPeer) return message.slots.forEach((slot, i) => this.#freeCopy(message.node, slot, message.generations[i]));
    if (message.node !== this.#parts.nodeId) {
      const tell = (channel: Channel) => channel.send("freeObjects", message);
      // A node that can't be reached is dead or dying, and its store with it.
      this.#parts.peers.connect(message.node).then(tell, () => {});
      return;
    }
    message.slots.forEach((slot, index) => this.freeLocal(slot, message.generations[index]));
  }

  freeLocal(slot: number, generation: number): void {
    this.#parts.host.free({ slot, generation });
    const key = placeKey(this.#parts.nodeId, slot, generation);
    const holders = this.#holders.get(key);
    this.#holders.delete(key);
    for (const node of holders ?? []) {
      this.#parts.peers.find(node)?.send("freeObjects", { node: this.#parts.nodeId, slots: [slot], generations: [generation] });
    }
  }

  /** A copy of a remote object in this node's store. */
  fetch({ source }: FetchObject): Promise<AnswerBody> {
    const from = source as Stored;
    if (from.node === this.#parts.nodeId) return Promise.resolve({ stored: from });
    const key = placeKey(from.node, from.slot, from.generation);
    const copy = this.#copies.get(key);
    if (copy !== undefined) return Promise.resolve({ stored: copy });
    let fetching = this.#fetching.get(key);
    if (fetching === undefined) {
      fetching = this.#copy(from, key).finally(() => this.#fetching.delete(key));
      this.#fetching.set(key, fetching);
    }
    return fetching.then((stored) => ({ stored }));
  }

  /** Serves a part of a local object to another node, or to a driver that shares no memory. */
  read(body: ReadChunk, toNode: string): AnswerBody {
    const chunk = this.#chunk(body);
    if (toNode !== "") this.#remember(body.slot, body.generation, toNode);
    return { chunk };
  }

  #chunk({ slot, generation, offset, length }: Omit<ReadChunk, "blob">): { bytes: Uint8Array; total: number } {
    const object = this.#parts.client.open({ slot, generation });
    if (object === undefined)
      throw new ObjectLostError(`object ${slot}/${generation} is not in the store of node ${this.#parts.nodeId}`);
    try {
      const bytes = Buffer.from(new Uint8Array(object.buffer(offset, Math.min(length, object.size - offset))));
      return { bytes, total: object.size };
    } finally {
      object.release();
    }
  }

  /** The same for a process of this node, from whichever node has the object. */
  readAnywhere(body: ReadChunk): AnswerBody | Promise<AnswerBody> {
    const { nodeId, peers, caller } = this.#parts;
    if (body.node === nodeId || body.node === "") return this.read(body, "");
    return peers.connect(body.node)
      .then((channel) => caller.call(channel, "readChunk", body, "chunk", { timeoutMs: CHUNK_TIMEOUT_MS }))
      .then((chunk) => ({ chunk }));
  }

  /** A copy of an object of this or another node that does not end with it: whoever asked frees it. */
  async replicate(source: Stored): Promise<Stored> {
    const channel = source.node === this.#parts.nodeId ? undefined : await this.#parts.peers.connect(source.node);
    const target = await this.#parts.client.create(source.size);
    try {
      await this.#fill(channel, source, target);
    } catch (error) {
      target.abort();
      throw error;
    }
    const { slot, generation } = target.seal();
    return { node: this.#parts.nodeId, slot, generation, size: source.size };
  }

  /** An object of a local process is this agent's own from now on, and outlives its maker. False when it is gone. */
  adopt({ node, slot, generation }: Stored): boolean {
    const { nodeId, host, clientNumber } = this.#parts;
    return node === nodeId && host.give({ slot, generation }, clientNumber);
  }

  nodeDied(node: string): void {
    this.ownerGone({ node });
    for (const holders of this.#holders.values()) holders.delete(node);
    for (const [key, copy] of [...this.#copies]) {
      if (key.startsWith(`${node}/`)) this.#dropCopy(key, copy);
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** Tries until there is room or the bound is reached; others free meanwhile. */
  async #whenRoom<T>(bytes: number, attempt: () => T | undefined): Promise<T> {
    const { clock, host, nodeId } = this.#parts;
    const first = attempt();
    if (first !== undefined) return first;
    const until = clock.now() + FULL_WAIT_MS;
    this.#waiting += 1;
    try {
      while (clock.now() < until) {
        await new Promise<void>((resolve) => void clock.after(RETRY_FULL_MS, resolve, true));
        host.sweep();
        const granted = attempt();
        if (granted !== undefined) return granted;
      }
    } finally {
      this.#waiting -= 1;
    }
    const { used, capacity, objects } = host.stats();
    throw new ObjectStoreFullError(
      `the object store of node ${nodeId} is full: ${used} of ${capacity} bytes in ${objects} objects; ` +
        `${bytes > 0 ? `${bytes} bytes were` : "a slab was"} asked for ${FULL_WAIT_MS} ms long. ` +
        "Release refs, or start the node with more memory",
    );
  }

  async #copy(source: Stored, key: string): Promise<Stored> {
    const stored = await this.replicate(source);
    this.#copies.set(key, stored);
    return stored;
  }

  /** Over the channel to its node; undefined for this one. */
  async #fill(channel: Channel | undefined, source: Stored, target: WritableObject): Promise<void> {
    let next = 0;
    const read = async (body: Omit<ReadChunk, "blob">): Promise<Uint8Array> => {
      if (channel === undefined) return this.#chunk(body).bytes;
      const { bytes } = await this.#parts.caller.call(channel, "readChunk", body, "chunk", { timeoutMs: CHUNK_TIMEOUT_MS });
      this.#copied += bytes.length;
      return bytes;
    };
    const worker = async () => {
      while (next < source.size) {
        const offset = next;
        const length = Math.min(CHUNK_BYTES, source.size - offset);
        next += length;
        const { slot, generation, node } = source;
        const bytes = await read({ slot, generation, offset, length, node });
        if (bytes.length !== length) throw new ConnectionError(`node ${node} sent ${bytes.length} of ${length} bytes`);
        await target.write(offset, bytes);
      }
    };
    await Promise.all(Array.from({ length: CHUNK_WINDOW }, worker));
  }

  #remember(slot: number, generation: number, node: string): void {
    const key = placeKey(this.#parts.nodeId, slot, generation);
    const holders = this.#holders.get(key);
    if (holders === undefined) this.#holders.set(key, new Set([node]));
    else holders.add(node);
  }

  #freeCopy(node: string, slot: number, generation: number): void {
    const key = placeKey(node, slot, generation);
    const copy = this.#copies.get(key);
    if (copy !== undefined) this.#dropCopy(key, copy);
    // A free for an object of this node itself, passed on by its owner's agent.
    else if (node === this.#parts.nodeId) this.freeLocal(slot, generation);
  }

  #dropCopy(key: string, copy: Draft<Stored>): void {
    this.#copies.delete(key);
    this.freeLocal(copy.slot ?? 0, copy.generation ?? 0);
  }
}

function placeKey(node: string, slot: number, generation: number): string {
  return `${node}/${slot}/${generation}`;
}

/** The agent is a client of its own store: it writes copies of remote objects. */
export function ownBroker(objects: () => AgentObjects, client: number): StoreBroker {
  const bodyOf = async <T>(answer: Promise<AnswerBody>, name: string) => (((await answer) as Record<string, unknown>)[name] as T);
  return {
    slab: (sizeClass) => bodyOf(objects().slab(client, { sizeClass }), "slab"),
    async descriptors(count) {
      const { slots, generations } = await bodyOf<{ slots: number[]; generations: number[] }>(
        objects().descriptors(client, { count }), "descriptors",
      );
      return slots.map((slot, index) => ({ slot, generation: generations[index] }));
    },
    allocate: (bytes) => bodyOf(objects().allocate(client, { bytes, waitMs: 0 }), "object"),
  };
}
