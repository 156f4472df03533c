// The node's object store as its agent runs it: grants to clients, frees, what was spilled, and copies of objects of other nodes.
//
// Who reads an object that is not in the memory asks for it: a spilled one is restored, under the same name, one of another node
// is copied. It is held here until the reader says that it has pinned it. A copy is fetched in chunks over the link to the node
// that has the object, once however many ask. Who serves chunks remembers who took a copy and passes a later free on, so the
// owner needs to know only where the object was made.

import {
  ConnectionError, DeadlineError, NodeDiedError, ObjectFetchTimeoutError, ObjectLostError, ObjectStoreFullError,
} from "../errors.ts";
import type { Clock } from "../seams.ts";
import { PAGE, pagesOf, SLAB_BYTES, sizeClassOf } from "../store/index.ts";
import type {
  ObjectHandle, ObjectOwner, Restoration, RoomNeed, StoreBroker, StoreClient, StoreHost, WritableObject,
} from "../store/index.ts";
import type {
  AllocateObject, AnswerBody, Caller, Channel, Chunk, Draft, FetchObject, FindObjects, FreeObjects, GrantDescriptors, GrantSlab,
  ObjectsOpened, ReadChunk, Stored,
} from "../transport/index.ts";
import { AgentRoom, RESTORE_WAIT_MS } from "./agent-room.ts";
import { AgentSpilling, type SpillSpace } from "./agent-spilling.ts";
import { FarObjects } from "./far-objects.ts";
import { HeldObjects } from "./held-objects.ts";
import { Orphans, type GoneOwner } from "./orphans.ts";
import type { Peers } from "./peers.ts";

export const CHUNK_BYTES = 1024 * 1024;
/** Chunks of one object under way at once. */
const CHUNK_WINDOW = 8;
const CHUNK_TIMEOUT_MS = 30_000;
const SLAB_PAGES = SLAB_BYTES / PAGE;
/** A node that can't be reached is declared dead within this time, or can be reached again. */
const VERDICT_WAIT_MS = 10_000;
const RETRY_REACH_MS = 100;
/** Copies of what lay on a node that died are kept so long for the owners that look for them. */
const ORPHANED_COPY_MS = 30_000;

export interface AgentObjectsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly host: StoreHost;
  readonly client: StoreClient;
  /** Number of `client`. */
  readonly clientNumber: number;
  readonly caller: Caller;
  readonly peers: Pick<Peers, "connect" | "find" | "deathOf">;
  /** Undefined: nothing is spilled. */
  readonly spill: SpillSpace | undefined;
  /** Processes of this node are to collect garbage: it holds objects. */
  readonly press: () => void;
}

export class AgentObjects {
  readonly #parts: AgentObjectsParts;
  /** Local copies by the place of their source. */
  readonly #copies = new Map<string, Stored>();
  readonly #fetching = new Map<string, Promise<Stored>>();
  /** Nodes that took a copy of a local object. */
  readonly #holders = new Map<string, Set<string>>();
  /** Names of those copies by their place here. */
  readonly #copyKeys = new Map<string, string>();
  readonly #restoring = new Map<string, Promise<void>>();
  readonly #held: HeldObjects;
  readonly #spilling: AgentSpilling | undefined;
  readonly #room: AgentRoom;
  readonly #orphans: Orphans;
  #copied = 0;

  constructor(parts: AgentObjectsParts) {
    this.#parts = parts;
    const { clock, nodeId, host, spill: space, press } = parts;
    this.#held = new HeldObjects(clock, parts.client);
    this.#spilling = space && new AgentSpilling(host, space, (handle) => this.#dropCopyAt(handle));
    this.#room = new AgentRoom({ clock, nodeId, host, spilling: this.#spilling, space, press });
    this.#orphans = new Orphans(parts.clock, parts.host, ({ slot, generation }) => this.freeLocal(slot, generation));
  }

  /** A process, or all of a node: what they owned is nobody's. */
  ownerGone(owner: GoneOwner): void {
    this.#orphans.ownerGone(owner);
  }

  sweep(): void {
    this.#parts.host.sweep();
    this.#orphans.sweep();
    this.#spilling?.sweep();
  }

  /** For a driver that shares no memory with this agent. */
  farObjects(driver: ObjectOwner): FarObjects {
    return new FarObjects(this.#parts.client, driver);
  }

  /** Bytes that came from other nodes since the start, what was spilled, and who waits for room. */
  stats(): object {
    return { copiedBytes: this.#copied, waiting: this.#room.waiting, ...this.#spilling?.stats() };
  }

  async slab(client: number, { sizeClass }: GrantSlab): Promise<AnswerBody> {
    const { host } = this.#parts;
    const need = { pages: SLAB_PAGES, align: SLAB_PAGES };
    return { slab: await this.#room.take({ client, bytes: 0, need, attempt: (page) => host.slab(client, sizeClass, page) }) };
  }

  async descriptors(client: number, { count }: GrantDescriptors): Promise<AnswerBody> {
    const attempt = () => this.#parts.host.descriptors(client, count);
    const handles = await this.#room.take({ client, bytes: 0, need: undefined, attempt });
    return { descriptors: { slots: handles.map((one) => one.slot), generations: handles.map((one) => one.generation) } };
  }

  /** A process of this node is gone: nothing is granted to it, or held for it. */
  clientGone(client: number): void {
    this.#room.clientGone(client);
    this.#held.readerGone(client);
  }

  /** The reader has pinned what it had fetched. */
  opened(client: number, { slots, generations }: ObjectsOpened): void {
    slots.forEach((slot, index) => this.#held.opened(client, { slot, generation: generations[index] }));
  }

  async allocate(client: number, body: AllocateObject): Promise<AnswerBody> {
    const { host } = this.#parts;
    const { capacity } = host.stats();
    if (body.bytes > capacity) {
      throw new ObjectStoreFullError(
        `an object of ${body.bytes} bytes does not fit the object store of node ${this.#parts.nodeId} (${capacity} bytes); ` +
          "start the node with a larger --object-store-memory",
      );
    }
    const need = { pages: pagesOf(body.bytes), align: 1 };
    const attempt = (page?: number) => host.allocate(client, body.bytes, page);
    return { object: await this.#room.take({ client, bytes: body.bytes, need, attempt }) };
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
    this.#spilling?.freed({ slot, generation });
    const key = placeKey(this.#parts.nodeId, slot, generation);
    const holders = this.#holders.get(key);
    this.#holders.delete(key);
    for (const node of holders ?? []) {
      this.#parts.peers.find(node)?.send("freeObjects", { node: this.#parts.nodeId, slots: [slot], generations: [generation] });
    }
  }

  /** An object in this node's memory, held for the reader: restored, or copied from its node. */
  async fetch({ source, owner, ownerNode }: FetchObject, reader: number): Promise<AnswerBody> {
    const from = source as Stored;
    for (let tries = 0; tries < FETCH_TRIES; tries += 1) {
      const stored = from.node === this.#parts.nodeId ? from : await this.#copyOf(from, { process: owner, node: ownerNode });
      await this.#restored(stored, reader);
      // Between its coming and this moment there was a turn: it may have had to leave again.
      if (this.#held.hold(reader, stored)) return { stored };
    }
    throw new ObjectLostError(`object ${from.slot}/${from.generation} of node ${from.node} can't be kept in this node's store`);
  }

  /** What is on its way here, for the state API. */
  copyRows(): object[] {
    return [...this.#fetching.keys()].map((id) => ({ id, nodeId: this.#parts.nodeId, source: id.split("/")[0] }));
  }

  /** Serves a part of a local object to another node, or to a driver that shares no memory. */
  async read(body: ReadChunk, toNode: string): Promise<AnswerBody> {
    const chunk = await this.#chunk(body);
    if (toNode !== "") this.#remember(body.slot, body.generation, toNode);
    return { chunk };
  }

  /** A spilled object is read where it lies. */
  async #chunk({ slot, generation, offset, length }: Omit<ReadChunk, "blob">): Promise<{ bytes: Uint8Array; total: number }> {
    const object = this.#parts.client.open({ slot, generation });
    if (object === undefined) {
      const part = await this.#spilling?.readRange({ slot, generation }, offset, length);
      if (part === undefined) throw this.#lost({ slot, generation });
      return part;
    }
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
    const ask = (channel: Channel) => caller.call(channel, "readChunk", body, "chunk", { timeoutMs: CHUNK_TIMEOUT_MS });
    return this.#reaching<Chunk>(body.node, () => peers.connect(body.node).then(ask)).then((chunk) => ({ chunk }));
  }

  /** Where these are in this node's store: there, or as copies, which are their owner's from now on, not their source's. */
  findHere({ places }: Pick<FindObjects, "places">): Draft<Stored>[] {
    return places.map((place) => {
      const { node, slot, generation, size } = place;
      if (node === this.#parts.nodeId) return this.#isHere({ slot, generation }) ? place : NOWHERE;
      const key = placeKey(node, slot, generation);
      const copy = this.#copies.get(key);
      if (copy === undefined) return NOWHERE;
      this.#copies.delete(key);
      this.#copyKeys.delete(handleKey(copy));
      return this.#isHere(copy) ? { ...copy, size } : NOWHERE;
    });
  }

  /** A copy of an object of this or another node that does not end with it: its owner, or else whoever asked, frees it. */
  async replicate(source: Stored, owner?: ObjectOwner): Promise<Stored> {
    const channel = source.node === this.#parts.nodeId ? undefined : await this.#parts.peers.connect(source.node);
    const target = await this.#parts.client.create(source.size);
    try {
      await this.#fill(channel, source, target);
    } catch (error) {
      target.abort();
      throw error;
    }
    const { slot, generation } = target.seal(owner);
    return { node: this.#parts.nodeId, slot, generation, size: source.size, sum: source.sum };
  }

  /** An object of a local process is this agent's own from now on, and outlives its maker. False when it is gone. */
  adopt({ node, slot, generation }: Stored): boolean {
    const { nodeId, host, clientNumber } = this.#parts;
    return node === nodeId && host.give({ slot, generation }, clientNumber);
  }

  nodeDied(node: string): void {
    this.ownerGone({ node });
    for (const holders of this.#holders.values()) holders.delete(node);
    this.#parts.clock.after(ORPHANED_COPY_MS, () => {
      for (const [key, copy] of [...this.#copies]) if (key.startsWith(`${node}/`)) this.#dropCopy(key, copy);
    });
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #copyOf(from: Stored, owner: ObjectOwner): Promise<Stored> {
    const key = placeKey(from.node, from.slot, from.generation);
    const copy = this.#copies.get(key);
    return copy !== undefined ? Promise.resolve(copy) : once(this.#fetching, key, () => this.#copy(from, key, owner));
  }

  /** Resolves when the object is in the memory. */
  async #restored({ slot, generation }: ObjectHandle, reader: number): Promise<void> {
    const handle = { slot, generation };
    const where = this.#parts.host.whereabouts(handle);
    if (where === "here") return;
    const size = this.#spilling?.sizeOf(handle);
    if (where === "gone" || size === undefined) throw this.#lost(handle);
    await once(this.#restoring, `${slot}/${generation}`, async () => {
      const range = await this.#roomFor({ slot, generation, size }, reader);
      await this.#spilling?.restore(handle, range);
    });
  }

  #roomFor(object: ObjectHandle & { readonly size: number }, reader: number): Promise<Restoration> {
    const { host } = this.#parts;
    const { size } = object;
    const need: RoomNeed = sizeClassOf(size) === undefined
      ? { pages: pagesOf(size), align: 1 }
      : { pages: SLAB_PAGES, align: SLAB_PAGES };
    const attempt = (page?: number) => {
      if (host.whereabouts(object) === "gone") throw this.#lost(object);
      return host.restore(object, page);
    };
    return this.#room.take({ client: reader, bytes: size, need, attempt, patienceMs: RESTORE_WAIT_MS });
  }

  #lost({ slot, generation }: ObjectHandle): ObjectLostError {
    return new ObjectLostError(`object ${slot}/${generation} is not in the store of node ${this.#parts.nodeId}`);
  }

  async #copy(source: Stored, key: string, owner: ObjectOwner): Promise<Stored> {
    const stored = await this.#reaching(source.node, () => this.replicate(source, owner));
    this.#copies.set(key, stored);
    this.#copyKeys.set(handleKey(stored), key);
    return stored;
  }

  /** Tries until the node answers or is declared dead, and with it what it has. */
  async #reaching<T>(node: string, attempt: () => Promise<T>): Promise<T> {
    const { clock, peers } = this.#parts;
    const until = clock.now() + VERDICT_WAIT_MS;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const death = peers.deathOf(node);
        if (death !== undefined) throw new ObjectLostError(`its copy lay in the store of a node that is gone: ${death.message}`);
        if (!isOutOfReach(error)) throw error;
        if (clock.now() >= until) {
          throw new ObjectFetchTimeoutError(`node ${node}, which has the object, can't be reached`, {}, error);
        }
      }
      await new Promise<void>((resolve) => void clock.after(RETRY_REACH_MS, resolve, true));
    }
  }

  #isHere({ slot, generation }: ObjectHandle): boolean {
    return this.#parts.host.whereabouts({ slot, generation }) !== "gone";
  }

  /** Over the channel to its node; undefined for this one. */
  async #fill(channel: Channel | undefined, source: Stored, target: WritableObject): Promise<void> {
    let next = 0;
    const read = async (body: Omit<ReadChunk, "blob">): Promise<Uint8Array> => {
      if (channel === undefined) return (await this.#chunk(body)).bytes;
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
    this.#copyKeys.delete(handleKey(copy));
    this.freeLocal(copy.slot ?? 0, copy.generation ?? 0);
  }

  /** There has to be room: a copy is fetched again by whoever wants it. False when the object is none. */
  #dropCopyAt(handle: ObjectHandle): boolean {
    const key = this.#copyKeys.get(handleKey(handle));
    const copy = key === undefined ? undefined : this.#copies.get(key);
    if (key === undefined || copy === undefined) return false;
    this.#dropCopy(key, copy);
    return true;
  }
}

/** A copy may be pushed out while it is handed over; so often that it is pressed for room, not unlucky. */
const FETCH_TRIES = 100;

function handleKey({ slot, generation }: Draft<Stored>): string {
  return `${slot}/${generation}`;
}

/** What is under way already, or the work begun now. */
function once<T>(underway: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  let working = underway.get(key);
  if (working === undefined) {
    working = work().finally(() => underway.delete(key));
    underway.set(key, working);
  }
  return working;
}

const NOWHERE: Draft<Stored> = { node: "" };

function isOutOfReach(error: unknown): boolean {
  return error instanceof ConnectionError || error instanceof DeadlineError || error instanceof NodeDiedError;
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
