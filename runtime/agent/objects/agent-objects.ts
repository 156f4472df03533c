// The node's object store as its agent runs it: grants to clients, frees, what was spilled, and copies of objects of other nodes.
//
// Who reads an object that is not in the memory asks for it: a spilled one is restored, under the same name, one of another node
// is copied, once however many ask. It is held here until the reader says that it has pinned it. The node that made an object
// remembers who took copies and passes a later free on, so the owner needs to know only where the object was made.

import { once, Recent, TRANSFER_KINDS, type TransferKind } from "../../core/index.ts";
import { ObjectFetchTimeoutError, ObjectLostError, ObjectStoreFullError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import { ANY_TENANT, PAGE, pagesOf, SLAB_BYTES, sizeClassOf } from "../../store/index.ts";
import type {
  ObjectHandle, ObjectOwner, Restoration, RoomNeed, StoreBroker, StoreClient, StoreHost,
} from "../../store/index.ts";
import type {
  AllocateObject, AnswerBody, CallContext, Caller, CallHandlers, Channel, ChannelHandler, Draft, FetchObject, FindObjects,
  FreeObjects, GrantDescriptors, GrantSlab, ObjectsOpened, ReadChunk, Stored,
} from "../../transport/index.ts";
import { AgentRoom, RESTORE_WAIT_MS } from "./agent-room.ts";
import { AgentSpilling, type SpillSpace } from "./agent-spilling.ts";
import { Detours } from "./detours.ts";
import { FarObjects } from "./far-objects.ts";
import { bulkHandler, type BulkLinks } from "./bulk-links.ts";
import { HeldObjects } from "./held-objects.ts";
import { CHUNK_BYTES, type TransferCounts } from "./incoming-object.ts";
import { Orphans, type GoneOwner } from "./orphans.ts";
import type { Peers } from "../peers.ts";
import { ServedObjects } from "./served-objects.ts";
import { PeerNetwork } from "./transfer-network.ts";
import { type Copied, reaching, Transfers } from "./transfers.ts";

const SLAB_PAGES = SLAB_BYTES / PAGE;
/** Copies of what lay on a node that died are kept so long for the owners that look for them. */
const ORPHANED_COPY_MS = 30_000;
/** Copies that were given to their owners can be read by their first name, so many of them. */
const GIVEN_MAX = 1000;

export interface AgentObjectsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly host: StoreHost;
  readonly client: StoreClient;
  /** Number of `client`. */
  readonly clientNumber: number;
  readonly caller: Caller;
  readonly peers: Pick<Peers, "connect" | "find" | "deathOf" | "likeliest">;
  readonly bulk: BulkLinks;
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
  /** Those that are their owners' now: who was getting one from here goes on. */
  readonly #given = new Recent<string, ObjectHandle>(GIVEN_MAX);
  /** Names of those copies by their place here. */
  readonly #copyKeys = new Map<string, string>();
  readonly #restoring = new Map<string, Promise<void>>();
  readonly #held: HeldObjects;
  readonly #spilling: AgentSpilling | undefined;
  readonly #room: AgentRoom;
  readonly #orphans: Orphans;
  readonly #network: PeerNetwork;
  readonly #transfers: Transfers;
  readonly #detours: Detours;
  readonly #served: ServedObjects;
  /** Freed by their lifetimes alone, not by their owners or because those are gone. */
  readonly #kept = new Set<string>();

  constructor(parts: AgentObjectsParts) {
    this.#parts = parts;
    const { clock, nodeId, host, client, spill: space, press } = parts;
    this.#held = new HeldObjects(clock, parts.client);
    const isCopy = (handle: ObjectHandle) => this.#copyKeys.has(handleKey(handle));
    this.#spilling = space && new AgentSpilling(host, space, (handle) => this.#dropCopyAt(handle), isCopy);
    this.#room = new AgentRoom({ clock, nodeId, host, spilling: this.#spilling, space, press });
    this.#orphans = new Orphans(parts.clock, parts.host, (handle) => this.#freeUnlessKept(handle));
    this.#network = new PeerNetwork(parts);
    this.#detours = new Detours(parts);
    this.#transfers = new Transfers({ clock, client, capacity: host.stats().capacity, network: this.#network });
    const { counts } = this.#transfers;
    const isGone = (handle: ObjectHandle) => !this.#isHere(handle);
    this.#served = new ServedObjects({ clock, nodeId, client, spilling: this.#spilling, counts, isGone });
  }

  /** A process, or all of a node: what they owned is nobody's. */
  ownerGone(owner: GoneOwner): void {
    this.#orphans.ownerGone(owner);
  }

  sweep(): void {
    this.#parts.host.sweep();
    this.#orphans.sweep();
    this.#served.sweep();
    this.#spilling?.sweep();
  }

  /** For a driver that shares no memory with this agent. */
  farObjects(driver: ObjectOwner): FarObjects {
    return new FarObjects(this.#parts.client, driver);
  }

  get transfers(): TransferCounts {
    return this.#transfers.counts;
  }

  /** What came from other nodes and went to them since the start, what was spilled, and who waits for room. */
  stats(): object {
    const { counts, inFlightBytes } = this.#transfers;
    return { ...counts, inFlightBytes, waiting: this.#room.waiting, ...this.#spilling?.stats() };
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

  /** `tenant`: of the job that it is for. */
  async allocate(client: number, body: Draft<AllocateObject> & { bytes: number }, tenant = ANY_TENANT): Promise<AnswerBody> {
    const { host } = this.#parts;
    const { capacity } = host.stats();
    if (body.bytes > capacity) {
      throw new ObjectStoreFullError(
        `an object of ${body.bytes} bytes does not fit the object store of node ${this.#parts.nodeId} (${capacity} bytes); ` +
          "start the node with a larger --object-store-memory",
      );
    }
    const need = { pages: pagesOf(body.bytes), align: 1 };
    const tenancy = { tenant, isSeen: body.isSeen ?? false };
    const attempt = (page?: number) => host.allocate(client, body.bytes, page, tenancy);
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
    message.slots.forEach((slot, index) => this.#freeUnlessKept({ slot, generation: message.generations[index] }));
  }

  freeLocal(slot: number, generation: number): void {
    this.#parts.host.free({ slot, generation });
    this.#spilling?.freed({ slot, generation });
    const handle = handleKey({ slot, generation });
    this.#kept.delete(handle);
    const copied = this.#copyKeys.get(handle);
    if (copied !== undefined && this.#copyKeys.delete(handle)) this.#copies.delete(copied);
    for (const node of this.#served.freed({ slot, generation })) {
      this.#parts.peers.find(node)?.send("freeObjects", { node: this.#parts.nodeId, slots: [slot], generations: [generation] });
    }
  }

  /** An object in this node's memory, held for the reader: restored, or copied from its node. */
  async fetch({ source, owner, ownerNode, kind }: FetchObject, reader: number): Promise<AnswerBody> {
    const from = source as Stored;
    const urgency = TRANSFER_KINDS.find((one) => one === kind) ?? "get";
    for (let tries = 0; tries < FETCH_TRIES; tries += 1) {
      const isOwn = from.node === this.#parts.nodeId;
      const stored = isOwn ? from : await this.#copyOf(from, { process: owner, node: ownerNode }, urgency);
      // A copy may have had to leave before anybody held it: then there is another.
      if (!isOwn && !this.#isHere(stored)) continue;
      await this.#restored(stored, reader);
      // Between its coming and this moment there was a turn: it may have had to leave again.
      if (this.#held.hold(reader, stored)) return { stored };
    }
    throw new ObjectLostError(`object ${from.slot}/${from.generation} of node ${from.node} can't be kept in this node's store`);
  }

  /** What is on its way here, for the state API. */
  copyRows(): object[] {
    return [...this.#fetching.keys()].map((id) => {
      return { id, nodeId: this.#parts.nodeId, source: id.split("/")[0], ...this.#transfers.at(id)?.progress };
    });
  }

  /** What other agents ask about copies. */
  get peerCalls(): CallHandlers {
    const nodeOf = (channel: Channel) => channel.peer.nodeId;
    return {
      findObjects: (body) => ({ places: { places: this.findHere(body) } }),
      fetchObject: async ({ source, owner, ownerNode, direct }) => (
        { stored: await this.#copyOf(source as Stored, { process: owner, node: ownerNode }, "argument", direct) }
      ),
      joinCopies: (body, { channel }) => this.#served.join(body, nodeOf(channel)),
      leaveCopies: (body, { channel }) => this.#served.leave(body, nodeOf(channel)),
    };
  }

  /** Of a peer's link for chunks alone. */
  get bulkHandler(): ChannelHandler {
    return bulkHandler((body, context) => this.read(body, context));
  }

  /** Serves a part of a local object, or of a copy, to another node; without a context to this one. */
  read(body: ReadChunk, context?: CallContext): AnswerBody | Promise<AnswerBody> {
    const { node, slot, generation } = body;
    if (node === this.#parts.nodeId || node === "") return this.#served.read({ slot, generation }, body, context);
    const key = placeKey(node, slot, generation);
    const copy = this.#copies.get(key) ?? this.#given.get(key);
    if (copy !== undefined) return this.#served.read(copy, body, context);
    const incoming = this.#transfers.at(key);
    if (context === undefined || incoming === undefined) {
      throw new ObjectLostError(`object ${key} has no copy on node ${this.#parts.nodeId}`);
    }
    return incoming.serve(body, context);
  }

  /** The same for a process of this node, from whichever node has the object. */
  async readAnywhere(body: ReadChunk): Promise<AnswerBody> {
    const { nodeId } = this.#parts;
    const isHere = body.node === nodeId || body.node === "" || this.#copies.has(placeKey(body.node, body.slot, body.generation));
    if (isHere) return this.read(body);
    const reached = { clock: this.#parts.clock, network: this.#network };
    return { chunk: await reaching(reached, body.node, () => this.#network.askSmall(body.node, body)) };
  }

  /** Where these are in this node's store: there, or as copies, which are their owner's from now on. Asked again: the same. */
  findHere({ places }: Pick<FindObjects, "places">): Draft<Stored>[] {
    const { nodeId } = this.#parts;
    return places.map((place) => {
      const { node, slot, generation, size } = place;
      if (node === nodeId) return this.#isHere({ slot, generation }) ? place : NOWHERE;
      const key = placeKey(node, slot, generation);
      const given = this.#given.get(key);
      const copy = this.#copies.get(key) ?? given;
      if (copy === undefined) return NOWHERE;
      this.#copies.delete(key);
      this.#copyKeys.delete(handleKey(copy));
      if (copy !== given) this.#given.set(key, copy);
      return this.#isHere(copy) ? { node: nodeId, slot: copy.slot, generation: copy.generation, size } : NOWHERE;
    });
  }

  /** A copy of an object of this or another node that does not end with it: whoever asked frees it. */
  async replicate(source: Stored): Promise<Stored> {
    const { nodeId } = this.#parts;
    if (source.node === nodeId) return { ...source, ...(await this.#copyHere(source)) };
    const { stored } = await this.#transfers.bring({ source, owner: undefined, kind: "get" });
    return { ...source, ...stored, node: nodeId };
  }

  /** An object of a local process is this agent's own from now on, and outlives its maker. False when it is gone. */
  adopt({ node, slot, generation }: Stored): boolean {
    const { nodeId, host, clientNumber } = this.#parts;
    return node === nodeId && host.give({ slot, generation }, clientNumber);
  }

  /** An object of this node stays until `freeLocal`, whatever becomes of its owner. False when it is gone. */
  keep(stored: Stored): boolean {
    if (!this.adopt(stored)) return false;
    this.#kept.add(handleKey(stored));
    return true;
  }

  /** A small value as an object of this node. */
  async write(bytes: Uint8Array): Promise<Stored> {
    const { client } = this.#parts;
    const target = client.tryCreate(bytes.length) ?? await client.create(bytes.length);
    target.bytes.set(bytes);
    const { slot, generation } = target.seal();
    return { node: this.#parts.nodeId, slot, generation, size: bytes.length, sum: 0 };
  }

  nodeDied(node: string): void {
    this.ownerGone({ node });
    this.#served.nodeDied(node);
    this.#parts.bulk.nodeDied(node);
    this.#parts.clock.after(ORPHANED_COPY_MS, () => {
      for (const [key, copy] of [...this.#copies]) if (key.startsWith(`${node}/`)) this.#dropCopy(key, copy);
    });
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** `direct`: from its own node, and from no other that has got a copy for this one. */
  async #copyOf(source: Stored, owner: ObjectOwner, kind: TransferKind, direct = false): Promise<Stored> {
    const key = placeKey(source.node, source.slot, source.generation);
    const copy = this.#copies.get(key);
    if (copy !== undefined && this.#isHere(copy)) return copy;
    // It ended with a process that owned it.
    if (copy !== undefined) this.#dropCopy(key, copy);
    this.#transfers.raise(key, kind);
    if (direct && this.#detours.isSought(key)) throw new ObjectFetchTimeoutError(`node ${source.node} is out of reach here too`);
    return once(this.#fetching, key, async () => {
      const known = this.#detours.known(key);
      if (known !== undefined) {
        try {
          return await this.#copyOf(known, owner, kind, true);
        } catch {
          this.#detours.forget(key);
        }
      }
      try {
        const whole = (copied: Copied) => this.#copied(key, source, copied);
        const { stored } = await this.#transfers.bring({ source, owner, kind, shared: { key, whole } });
        return { ...source, ...stored, node: this.#parts.nodeId };
      } catch (error) {
        const isCut = error instanceof ObjectFetchTimeoutError && !direct;
        const other = isCut ? await this.#detours.around(key, source, owner) : undefined;
        if (other === undefined) throw error;
        return this.#copyOf(other, owner, kind, true);
      }
    });
  }

  #copied(key: string, source: Stored, { stored, sums }: Copied): void {
    const copy = { ...source, ...stored, node: this.#parts.nodeId };
    this.#copies.set(key, copy);
    this.#copyKeys.set(handleKey(copy), key);
    this.#served.copied(copy, sums);
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
    const overflowNeed: RoomNeed = { pages: pagesOf(size), align: 1 };
    const need = sizeClassOf(size) === undefined ? overflowNeed : { pages: SLAB_PAGES, align: SLAB_PAGES };
    const attempt = (page?: number) => {
      if (host.whereabouts(object) === "gone") throw this.#lost(object);
      return host.restore(object, page);
    };
    return this.#room.take({ client: reader, bytes: size, need, overflowNeed, attempt, patienceMs: RESTORE_WAIT_MS });
  }

  #lost({ slot, generation }: ObjectHandle): ObjectLostError {
    return new ObjectLostError(`object ${slot}/${generation} is not in the store of node ${this.#parts.nodeId}`);
  }

  #freeUnlessKept({ slot, generation }: ObjectHandle): void {
    if (!this.#kept.has(handleKey({ slot, generation }))) this.freeLocal(slot, generation);
  }

  #isHere({ slot, generation }: ObjectHandle): boolean {
    return this.#parts.host.whereabouts({ slot, generation }) !== "gone";
  }

  async #copyHere({ slot, generation, size }: Stored): Promise<ObjectHandle> {
    const target = await this.#parts.client.create(size);
    try {
      for (let offset = 0; offset < size; offset += CHUNK_BYTES) {
        const length = Math.min(CHUNK_BYTES, size - offset);
        const read = await this.#served.read({ slot, generation }, { offset, length });
        await target.write(offset, (read as { readonly chunk: { readonly bytes: Uint8Array } }).chunk.bytes);
      }
    } catch (error) {
      target.abort();
      throw error;
    }
    return target.seal();
  }

  #freeCopy(node: string, slot: number, generation: number): void {
    const key = placeKey(node, slot, generation);
    const copy = this.#copies.get(key);
    this.#transfers.freed(key);
    if (copy !== undefined) this.#dropCopy(key, copy);
    // A free for an object of this node itself, passed on by its owner's agent.
    else if (node === this.#parts.nodeId) this.#freeUnlessKept({ slot, generation });
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

const NOWHERE: Draft<Stored> = { node: "" };

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
