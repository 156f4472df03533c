// The object store's contract: what agents (host) and clients (drivers, workers, the agent itself) may do with a node's objects.
//
// Two implementations pass one conformance suite: `shared` (memfd pages through the addon: decisions 1.3-1.5 in
// docs/architecture.md) and `local` (plain memory of one process: simulation, inline mode, platforms without the addon).
// The host allocates; clients carve leased slabs without locks; a reader pins by hazard pointer and generation re-check.

/** Names a sealed object of this node. A pair that was freed is never valid again. */
export interface ObjectHandle {
  readonly slot: number;
  readonly generation: number;
}

/** The process that owns an object, counting its references: it may be another than the one that writes it. */
export interface ObjectOwner {
  readonly process: string;
  readonly node: string;
}

/** A part of an object that something outside of JavaScript reads or writes. */
export interface Loan {
  /** Detached by the end where the memory is shared. */
  readonly bytes: Uint8Array;
  /** It does so no more. Idempotent. */
  end(): void;
}

/** A reserved range that only its creator sees. Exactly one of `seal` and `abort` ends it. */
export interface WritableObject extends ObjectHandle {
  readonly size: number;
  /** Plain shared bytes: written in place. Detached (length 0) after seal or abort. Above 4 GiB use `chunk`. */
  readonly bytes: Uint8Array;
  /** A view of a part, at most 4 GiB, for objects of any size. */
  chunk(offset: number, length: number): Uint8Array;
  /** Copies `source` to `offset`; above 1 MiB with the helper thread, without blocking the loop's other work. */
  write(offset: number, source: Uint8Array): Promise<void> | void;
  /**
   * The part stays where it is until the loan has ended, whatever becomes of the object. One that is written can't be sealed
   * before.
   */
  lend(offset: number, length: number, how: "read" | "written"): Loan;
  /**
   * Of an object that was created with its pages to be made later: makes those of a part, before anything is written there.
   * Undefined when they are there. Rejects with ObjectStoreFullError when this machine has no memory.
   */
  makePages(offset: number, length: number): Promise<void> | undefined;
  seal(owner?: ObjectOwner): ObjectHandle;
  abort(): void;
}

/** A pinned object. Its bytes are private copy-on-write: a reader's writes are its own. */
export interface ReadableObject extends ObjectHandle {
  readonly size: number;
  /**
   * One ArrayBuffer for `[offset, offset+length)`; default the whole object. At most 4 GiB on Node 20. Creating it copies
   * nothing.
   */
  buffer(offset?: number, length?: number): ArrayBuffer;
  /** Detaches every buffer handed out, gives the private pages back, clears the pin, in that order. Idempotent. */
  release(): void;
  /** True once every buffer handed out was garbage collected or none ever was; then release() invalidates nobody. */
  readonly unreferenced: boolean;
}

/**
 * How a client reaches the host: the shell implements it with Calls over the agent channel. Each answer may be late, never
 * absent.
 */
export interface StoreBroker {
  slab(sizeClass: number): Promise<SlabLease>;
  descriptors(count: number): Promise<readonly ObjectHandle[]>;
  /** For anything larger than the largest size class. Waits while the store is full, then rejects with ObjectStoreFullError. */
  allocate(bytes: number, isSeen?: boolean): Promise<Allocation>;
}
export interface SlabLease {
  readonly slab: number;
  readonly offset: number;
  readonly bytes: number;
}
export interface Allocation extends ObjectHandle {
  readonly offset: number;
  readonly bytes: number;
}

export interface StoreClient {
  /** The object at once when a leased slab and a descriptor are at hand, else undefined: then use `create`. */
  tryCreate(size: number): WritableObject | undefined;
  /** `pages` "later": `makePages` makes them. */
  create(size: number, pages?: "now" | "later", isSeen?: boolean): Promise<WritableObject>;
  /**
   * Pins a sealed object; undefined when that generation is gone or not sealed. Never waits. Who has as many pinned as it can
   * gets a copy. Readers of one process may see what each other writes, but a `fresh` one sees what was sealed.
   */
  open(handle: ObjectHandle, fresh?: boolean): ReadableObject | undefined;
  /** Leaves word for the host of what runs here now, should this process end in the middle of it; returns the word before. */
  runs(tag: number): number;
  /** Objects this client has pinned now, their bytes, and how much of what it could pin at all that is, from 0 to 1. */
  pinned(): { readonly objects: number; readonly bytes: number; readonly share: number };
  close(): void;
}

/** A part of the memory that is given back as a whole: a slab, or a large object. */
export interface StoreUnit {
  readonly firstPage: number;
  readonly pages: number;
  /** Larger is later. */
  readonly usedAt: number;
  /** Sealed objects that nobody reads; undefined when there is something else in it too. */
  readonly objects: readonly SealedObject[] | undefined;
}
export interface SealedObject extends ObjectHandle {
  readonly size: number;
}
/** All units and free ranges, by address. */
export interface StoreMap {
  readonly pages: number;
  readonly units: readonly StoreUnit[];
  readonly gaps: readonly { readonly start: number; readonly pages: number }[];
}

/** Bytes of a sealed object for the host's own process, past all pins: its range stays until `end`. */
export interface SealedBytes {
  /** Of one block, at most. */
  chunk(offset: number, length: number): Uint8Array;
  end(): void;
}

/** What a client made, and what it reads. */
export interface StoreHolder {
  /** Its process; "" for objects of processes that ended. */
  readonly process: string;
  readonly pid: number;
  readonly objects: number;
  readonly bytes: number;
  readonly pinnedObjects: number;
  readonly pinnedBytes: number;
}

/** A range for an evicted object, to be written. Exactly one of `commit` and `abort` ends it. */
export interface Restoration {
  chunk(offset: number, length: number): Uint8Array;
  /** Makes the pages; rejects when there is no memory. */
  populate(): Promise<void>;
  /** The object can be read again. False when it was freed meanwhile. */
  commit(): boolean;
  abort(): void;
}

/** Pages in a file on disk for what must be kept though the memory is full. Its bytes are there before it is granted. */
export interface Overflow {
  /** Where clients map the file; "" for none. */
  readonly path: string;
  freed(page: number, pages: number): void;
}

export interface StoreStats {
  readonly capacity: number;
  /** Bytes in slabs and allocations, whether sealed or not. */
  readonly used: number;
  readonly objects: number;
  readonly freedAndPinned: number;
  /** Since the start: objects that were made, and the bytes reserved for them. */
  readonly made: number;
  readonly madeBytes: number;
  readonly clients: number;
  /** Objects whose bytes are not here, and bytes of those that lie in the overflow. */
  readonly evicted: number;
  readonly overflow: number;
}

/** What a client process needs to map the store: travels in its welcome. */
export interface StoreGrant {
  readonly path: string;
  readonly capacity: number;
  readonly client: number;
  readonly layout: Uint8Array;
  readonly overflow: string;
}

/** Whose job a range is for. */
export interface Tenancy {
  /** A number of its own for each job. */
  readonly tenant: number;
  /** Its program sees the bytes as they are: it is shown none of another job. */
  readonly isSeen: boolean;
}

/** The agent's side. Synchronous: the shell queues what cannot be granted now and retries after a free. */
export interface StoreHost {
  admit(owner: string): StoreGrant;
  /**
   * The client is gone: its slabs and unsealed objects are reclaimed. Its pins are too, once its process is dead; one that
   * lives on clears them as it lets go of what it read. Sealed objects stay until freed; they pass to `heir`, any negative
   * number, under which freeAllOf finds them.
   */
  expel(client: number, heir: number): void;
  /** A sealed object passes to `heir`, as if its creator had ended. False when it is gone. */
  give(handle: ObjectHandle, heir: number): boolean;
  /** With `overflow`, at that page there: the caller has reserved it. */
  slab(client: number, sizeClass: number, overflow?: number): SlabLease | undefined;
  descriptors(client: number, count: number): readonly ObjectHandle[] | undefined;
  allocate(client: number, bytes: number, overflow?: number, tenancy?: Tenancy): Allocation | undefined;
  map(): StoreMap;
  /** Whether the bytes of the object are here, elsewhere, or gone for good. */
  whereabouts(handle: ObjectHandle): "here" | "evicted" | "gone";
  /** Undefined when it is not here. */
  bytesOf(object: SealedObject): SealedBytes | undefined;
  /** Those with the most bytes first. */
  holders(): StoreHolder[];
  /** The object's bytes go, the object stays. False when it is being read, or is not here. */
  evict(handle: ObjectHandle): boolean;
  /** Undefined when there is no room, or the object is not evicted. */
  restore(object: SealedObject, overflow?: number): Restoration | undefined;
  /** Ends an object: readers that come later miss it; its range is reused once no pin is left. False when it was gone already. */
  free(handle: ObjectHandle): boolean;
  /** Sealed objects of a process, or of all processes of a node. */
  ownedBy(owner: { readonly process: string } | { readonly node: string }): ObjectHandle[];
  /** Ends every object that the client created, or that an heir has. */
  freeAllOf(client: number): void;
  /** Reclaims ranges whose last pin has gone since; true when anything became free. */
  sweep(): boolean;
  /**
   * Milliseconds since the client's native thread last beat, and since its event loop last turned, `Number.MAX_SAFE_INTEGER`
   * while neither has; and what it says it runs.
   */
  health(client: number): { readonly beatAgeMs: number; readonly turnAgeMs: number; readonly runs: number };
  stats(): StoreStats;
  close(): void;
}

/** Objects above this size live in the store; smaller ones in their owner's memory and inside messages. */
export const INLINE_LIMIT_BYTES = 64 * 1024;
