// The object table of a process and the talk between owners and borrowers.
//
// An owner counts, for each shared object, its own handles and signed hand-overs a borrowing process (core/reference-count.ts). A
// borrower counts its handles and how many hand-overs it received, and gives all of them back with one Drop when its last handle
// is gone. Rules that keep an object alive while a ref to it is on its way:
//   - who hands a ref in a result to process P has `Borrow{for P}` counted before it can drop its own;
//   - a caller keeps every ref in its arguments until the reply, which lists what the executor still holds;
//   - a container holds the refs inside it while it lives.

import { stepObject, type ObjectEvent } from "../../core/index.ts";
import { addLocal, dropLocal, isFree } from "../../core/index.ts";
import type { Clock } from "../../seams.ts";
import type { Borrow, Draft, Drop, Failure, HeldRef, LostObject, Resolved, Stored, Subscribe } from "../../transport/index.ts";
import { isError, type WireValue } from "../values/wire-value.ts";
import { HandleRegistry, type HandleGroup } from "./handle-registry.ts";
import { Borrowers } from "./borrowers.ts";
import { Containers } from "./containers.ts";
import type { Finalizers } from "../equipment.ts";
import { Holdings } from "./holdings.ts";
import type { Home } from "../home.ts";
import type { Keeping } from "./keeping.ts";
import { Orphans } from "./orphans.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { Link, ProcessAddress } from "../links.ts";
import { heldRef, isOpen, ObjectEntry, objectIdOf, type ObjectRef, type RefSession } from "./object-ref.ts";

/** After a borrower's death its references stay this long: it may have handed one on in its last moment. */
export const BORROW_GRACE_MS = 2000;

export interface BorrowingParts {
  readonly clock: Clock;
  readonly finalizers: Finalizers;
  readonly processId: string;
  readonly nodeId: string;
  readonly session: RefSession;
  readonly home: Home;
  readonly connect: (address: ProcessAddress) => Promise<Link>;
  readonly recovery: Pick<Recovery, "seek" | "released">;
  readonly keeping: Pick<Keeping, "find" | "kept">;
}

export class Borrowing {
  readonly #parts: BorrowingParts;
  /** Shared objects of this process by number. */
  readonly #own = new Map<number, ObjectEntry>();
  /** Foreign objects by id. */
  readonly #foreign = new Map<string, ObjectEntry>();
  /** Who asked to be told the value of a pending object. */
  readonly #subscribers = new Map<number, Link[]>();
  readonly #handles: HandleRegistry;
  readonly holdings: Holdings;
  readonly #containers: Containers;
  readonly #borrowers = new Borrowers();
  /** Told when the last reference here is gone: entries that stand for an actor or a stream. */
  readonly #onFreed = new Map<ObjectEntry, () => void>();
  readonly #orphans: Orphans;

  constructor(parts: BorrowingParts) {
    this.#parts = parts;
    this.#orphans = new Orphans({
      find: (objects) => parts.keeping.find(objects),
      settle: (entry, value) => this.settle(entry, value), lost: (entry) => this.lost(entry),
    });
    this.#handles = new HandleRegistry(parts.finalizers, (entry) => this.dropLocal(entry));
    this.#containers = new Containers(parts.finalizers, (entry) => this.dropLocal(entry));
    const gone = (number: number) => parts.recovery.released(number);
    this.holdings = new Holdings(parts.finalizers, (stored) => this.#freeStored(stored), gone);
  }

  /** Shared objects that are alive, for the state API and for tests of leaks. */
  counts(): { readonly own: number; readonly foreign: number } {
    return { own: this.#own.size, foreign: this.#foreign.size };
  }

  /** Objects of others, or room in stores, may hang on garbage of this process. */
  get holdsAny(): boolean {
    return this.#foreign.size > 0 || this.#own.size > 0 || this.holdings.size > 0;
  }

  entries(): ObjectEntry[] {
    return [...this.#own.values(), ...this.#foreign.values()];
  }

  // -- local references --------------------------------------------------------------------------------------------

  /** Counts handles from now on: the ref is about to be known to another process. */
  share(ref: ObjectRef): ObjectEntry {
    const { entry } = ref;
    if (entry.shared) return entry;
    this.#publish(entry);
    ref.group = this.#handles.group([entry]);
    return entry;
  }

  /** Handles of actors and streams are counted from the first: the last one gone ends what it stands for. */
  shareCounted(entry: ObjectEntry, freed: () => void): HandleGroup {
    this.#publish(entry);
    this.whenFreed(entry, freed);
    return this.#handles.group([entry]);
  }

  /** Calls `freed` when the last reference that this process knows of is gone. */
  whenFreed(entry: ObjectEntry, freed: () => void): void {
    this.#onFreed.set(entry, freed);
  }

  /** False for what stands for an actor or a stream. */
  isValue(entry: ObjectEntry): boolean {
    return !this.#onFreed.has(entry);
  }

  addLocal(entry: ObjectEntry): void {
    addLocal(entry.count);
  }

  dropLocal(entry: ObjectEntry): void {
    if (!dropLocal(entry.count)) return;
    if (entry.owner === this.#parts.processId) this.#freeOwn(entry);
    else if (entry.count.local === 0) this.#dropForeign(entry);
  }

  releaseHandle(ref: { readonly entry: ObjectEntry; group: ObjectRef["group"] }): void {
    if (ref.group !== undefined) this.#handles.leave(ref.group, ref.entry);
    ref.group = undefined;
    this.dropLocal(ref.entry);
  }

  /** A shared one, or an own one that is reached at all. */
  known(owner: string, number: number): ObjectEntry | undefined {
    return owner === this.#parts.processId ? this.own(number) : this.#foreign.get(objectIdOf(owner, number));
  }

  /** The entry of an object that arrived in a message, with one more local reference, whose handle joins `entries`. */
  received(owner: string, ownerNode: string, number: number): ObjectEntry {
    if (owner === this.#parts.processId) {
      const own = this.#own.get(number);
      if (own !== undefined) {
        addLocal(own.count);
        return own;
      }
      return this.#forgotten(number);
    }
    const id = objectIdOf(owner, number);
    const known = this.#foreign.get(id);
    if (known !== undefined) {
      addLocal(known.count);
      return known;
    }
    const entry = new ObjectEntry(this.#parts.session, owner, ownerNode, number, this.#parts.clock.now() | 0);
    entry.shared = true;
    this.#foreign.set(id, entry);
    return entry;
  }

  groupHandles(entries: (ObjectEntry | undefined)[], refs: readonly { group: ObjectRef["group"] }[]): void {
    const group = this.#handles.group(entries);
    for (const ref of refs) ref.group = group;
  }

  // -- values ------------------------------------------------------------------------------------------------------

  /** Gives an entry its value or error, once; a repeat is discarded. */
  settle(entry: ObjectEntry, value: WireValue): void {
    const effect = this.#step(entry, isError(value) ? "rejected" : "resolved");
    const isOwn = entry.owner === this.#parts.processId;
    if (effect === "freeCopies") return this.discard([isOwn ? value : { ...value, stored: undefined }]);
    if (effect !== "wakeReaders") return;
    const { contained, stored, lifetime } = value;
    entry.value = value;
    if (contained && contained.length > 0) {
      // Of the value that was lost before this one was made.
      this.#containers.drop(entry);
      this.#containReceived(entry, contained as readonly HeldRef[]);
      // Dependants fail with the same error: what came with it is counted here only.
      if (isError(value)) entry.value = { ...value, contained: [] };
    }
    if (stored && isOwn) this.holdings.placed(entry, stored);
    if (lifetime) this.#parts.keeping.kept(entry, lifetime);
    this.#wake(entry);
  }

  /** It was freed for everybody: who has a ref to it fails from now on. */
  revoke(entry: ObjectEntry, failure: WireValue): void {
    const { value, owner, number } = entry;
    const effect = this.#step(entry, "revoked");
    if (effect === "ignore") return;
    entry.value = failure;
    if (owner === this.#parts.processId) {
      this.holdings.freed(entry);
      if (effect === "freeCopies" && value?.stored) this.#freeStored(value.stored);
      this.#parts.recovery.released(number);
    }
    this.#containers.drop(entry);
    this.#wake(entry);
  }

  /** Keeps the refs inside an own value alive while the value lives. */
  contain(entry: ObjectEntry, contained: readonly ObjectEntry[]): void {
    this.#containers.add(entry, contained);
  }

  /** The refs inside a received value: counted for this process by who sent it, held by `entry` from now on. */
  #containReceived(entry: ObjectEntry, held: readonly HeldRef[]): void {
    this.#containers.hold(entry, held.map((ref) => {
      const inner = this.received(ref.owner, ref.ownerNode, ref.object);
      if (inner.owner !== this.#parts.processId) inner.received += 1;
      return inner;
    }));
  }

  /** Frees what a value carries that nobody wants: its store object, and the refs inside that were counted for us. */
  discard(values: readonly WireValue[]): void {
    for (const value of values) {
      if (value.stored) this.#freeStored(value.stored);
      const refs = (value.contained ?? []) as readonly HeldRef[];
      for (const ref of refs) {
        const inner = this.received(ref.owner, ref.ownerNode, ref.object);
        if (inner.owner !== this.#parts.processId) inner.received += 1;
        this.dropLocal(inner);
      }
    }
  }

  /** Somebody waits for an entry that is pending or lost. */
  want(entry: ObjectEntry): void {
    if (entry.state === "lost") this.#parts.recovery.seek(entry);
    else if (entry.shared) void this.subscribe(entry);
  }

  /** The entry's value is gone from where it lay. */
  lost(entry: ObjectEntry): boolean {
    if (this.#step(entry, "copyLost") === "ignore") return false;
    entry.value = undefined;
    if (entry.owner === this.#parts.processId) this.holdings.lost(entry);
    return true;
  }

  /** What is lost is looked for, or made again. */
  sought(entry: ObjectEntry): boolean {
    return this.#step(entry, "sought") !== "ignore";
  }

  /** The entry of an own object that nobody held, lost until it is made again. It is freed when its count is 0 again. */
  revived(number: number): ObjectEntry {
    const { session, processId, nodeId, clock } = this.#parts;
    const entry = new ObjectEntry(session, processId, nodeId, number, clock.now() | 0);
    entry.count.local = 0;
    entry.state = "lost";
    entry.shared = true;
    this.#own.set(number, entry);
    return entry;
  }

  /** An object of this process, while anything reaches it. */
  own(number: number): ObjectEntry | undefined {
    return this.#own.get(number) ?? this.holdings.find(number);
  }

  /** A foreign object that is wanted again: counted for this process once more. */
  borrowAgain({ owner, ownerNode, object }: HeldRef): ObjectEntry {
    const entry = this.received(owner, ownerNode, object);
    this.handOver(entry, { process: this.#parts.processId, node: this.#parts.nodeId });
    entry.received += 1;
    return entry;
  }

  /** Asks the owner of a foreign object for its value; the entry settles when it answers. */
  async subscribe(entry: ObjectEntry): Promise<void> {
    if (entry.subscribed || entry.owner === this.#parts.processId) return;
    entry.subscribed = true;
    try {
      const link = await this.#parts.connect({ process: entry.owner, node: entry.ownerNode });
      link.channel.send("subscribe", { objects: [entry.number] });
    } catch (error) {
      await this.#orphans.ownerDied([entry], `it can't be reached: ${(error as Error).message}`);
    }
  }

  // -- hand-overs --------------------------------------------------------------------------------------------------

  /** Counts process `borrower` as holding one more hand-over of the entry, at its owner. */
  handOver(entry: ObjectEntry, borrower: ProcessAddress): void {
    if (borrower.process === entry.owner) return;
    if (entry.owner === this.#parts.processId) {
      this.#borrowers.change(entry, borrower, 1);
      return;
    }
    const { owner, ownerNode, number } = entry;
    this.#toOwner(owner, ownerNode, "borrow", {
      objects: [number],
      borrower: borrower.process,
      borrowerNode: borrower.node,
      seq: 0,
    });
  }

  /** Hands over an own object, and the one reference to it that there is here. What to send of it; undefined when it is lost. */
  give(entry: ObjectEntry, to: ProcessAddress): WireValue | undefined {
    if (!entry.shared) this.#publish(entry);
    const value = entry.value && { ...entry.value, contained: this.#handOverAll(entry.contained, to) };
    this.handOver(entry, to);
    this.dropLocal(entry);
    return value;
  }

  /**
   * The same for a ref that an executor said it still holds; unknown ones were freed by nobody but us, so they are ours no
   * more.
   */
  handOverById(held: HeldRef, borrower: ProcessAddress): void {
    const own = held.owner === this.#parts.processId;
    const entry = own ? this.#own.get(held.object) : this.#foreign.get(objectIdOf(held.owner, held.object));
    if (entry !== undefined) this.handOver(entry, borrower);
  }

  /** An own object that others, or this process, still know by its number. */
  find(number: number): ObjectEntry | undefined {
    return this.#own.get(number);
  }

  onBorrow({ objects, borrower: process, borrowerNode: node }: Borrow): void {
    for (const number of objects) this.#counted(number, { process, node }, 1);
  }

  onDrop({ objects, counts }: Drop, link: Link): void {
    objects.forEach((number, index) => this.#counted(number, link, -(counts[index] ?? 1)));
  }

  #counted(number: number, borrower: ProcessAddress, change: number): void {
    const entry = this.#own.get(number);
    if (entry !== undefined && this.#borrowers.change(entry, borrower, change)) this.#freeOwn(entry);
  }

  onSubscribe(message: Subscribe, link: Link): void {
    for (const number of message.objects) {
      const entry = this.#own.get(number);
      if (entry !== undefined) this.#tellWhenSettled(entry, link);
      else this.#tellForgotten(this.#forgotten(number), link);
    }
  }

  /** A borrower could not read it where it was said to be. */
  onLost({ object, place }: LostObject, link: Link, reported: (entry: ObjectEntry, place: Stored) => void): void {
    const entry = this.#own.get(object);
    if (entry === undefined) return this.onSubscribe({ objects: [object] }, link);
    reported(entry, place as Stored);
    this.#tellWhenSettled(entry, link);
  }

  #tellWhenSettled(entry: ObjectEntry, link: Link): void {
    const { number } = entry;
    if (entry.value !== undefined) return this.#tell(link, number, entry.value);
    this.#subscribers.set(number, [...(this.#subscribers.get(number) ?? []), link]);
    this.want(entry);
  }

  #tellForgotten(entry: ObjectEntry, link: Link): void {
    this.#tellWhenSettled(entry, link);
    (entry.waiters ??= []).push((one) => this.dropLocal(one));
  }

  onResolved(message: Resolved): void {
    const entry = this.#foreign.get(objectIdOf(message.owner, message.object));
    if (entry !== undefined) this.settle(entry, message.value as WireValue);
  }

  /** A process ended: as owner its unresolved objects are lost, as borrower its counts go after the grace time. */
  processDied(process: string, text: string): void {
    this.#ownerGone(process, text);
    this.#parts.clock.after(BORROW_GRACE_MS, () => {
      for (const entry of this.#borrowers.ended(process, this.#own.values())) this.#freeOwn(entry);
    });
  }

  /** Why the bytes of a foreign object are gone, when that is because its owner is. */
  async lossOf(entry: ObjectEntry): Promise<WireValue | undefined> {
    if (entry.owner === this.#parts.processId) return undefined;
    try {
      await this.#parts.connect({ process: entry.owner, node: entry.ownerNode });
    } catch (error) {
      await this.#orphans.ownerDied([entry], `it can't be reached: ${(error as Error).message}`);
    }
    return entry.state === "failed" ? entry.value : undefined;
  }

  /** Owners and borrowers on that node are gone, and copies that lay there. */
  nodeDied(node: string, reason: string): void {
    const gone = new Set(this.#borrowers.on(node));
    for (const entry of this.#foreign.values()) if (entry.ownerNode === node) gone.add(entry.owner);
    for (const process of gone) this.processDied(process, `its node ${node} died: ${reason}`);
  }

  /** The session ends: what is still pending fails, and nothing is given back: the agent knows that this process is gone. */
  close(failure: Failure): void {
    for (const entry of this.entries()) if (isOpen(entry)) this.settle(entry, { failure });
    this.#own.clear();
    this.#foreign.clear();
    this.#subscribers.clear();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #step(entry: ObjectEntry, event: ObjectEvent): string {
    const { state, effect } = stepObject(entry.state, event);
    entry.state = state;
    return effect;
  }

  #wake(entry: ObjectEntry): void {
    const { waiters } = entry;
    entry.waiters = undefined;
    if (waiters !== undefined) for (const waiter of waiters) waiter(entry);
    if (!entry.shared) return;
    const subscribers = this.#subscribers.get(entry.number);
    if (subscribers === undefined || entry.owner !== this.#parts.processId) return;
    this.#subscribers.delete(entry.number);
    for (const link of subscribers) this.#tell(link, entry.number, entry.value as WireValue);
  }

  #tell(link: Link, object: number, value: WireValue): void {
    if (!link.channel.open) return;
    const contained = this.#handOverAll(this.#own.get(object)?.contained, link);
    link.channel.send("resolved", { owner: this.#parts.processId, object, value: { ...value, contained } });
  }

  #handOverAll(contained: readonly ObjectEntry[] = [], to: ProcessAddress): HeldRef[] {
    for (const inner of contained) this.handOver(inner, to);
    return contained.map(heldRef);
  }

  /** In the object table from now on. */
  #publish(entry: ObjectEntry): void {
    entry.shared = true;
    this.holdings.shared(entry);
    this.#containers.shared(entry);
    this.#own.set(entry.number, entry);
  }

  #freed(entry: ObjectEntry): void {
    const told = this.#onFreed.get(entry);
    this.#onFreed.delete(entry);
    told?.();
  }

  #freeOwn(entry: ObjectEntry): void {
    if (!isFree(entry.count)) return;
    this.#own.delete(entry.number);
    const stored = entry.value?.stored;
    this.holdings.freed(entry);
    if (this.#step(entry, "released") === "freeCopies" && stored) this.#freeStored(stored);
    this.#containers.drop(entry);
    this.#freed(entry);
    this.#parts.recovery.released(entry.number);
  }

  #dropForeign(entry: ObjectEntry): void {
    this.#foreign.delete(entry.id);
    this.#step(entry, "released");
    this.#containers.drop(entry);
    this.#freed(entry);
    if (entry.received > 0) {
      this.#toOwner(entry.owner, entry.ownerNode, "drop", { objects: [entry.number], counts: [entry.received], seq: 0 });
    }
  }

  /** Results whose receiver is gone: the store would keep them until the job ends. */
  unsent(values: readonly WireValue[]): void {
    for (const { stored } of values) if (stored) this.#freeStored(stored);
  }

  #freeStored({ node, slot, generation }: Draft<Stored>): void {
    if (!this.#parts.home.open) return;
    this.#parts.home.agent.send("freeObjects", { node, slots: [slot ?? 0], generations: [generation ?? 0] });
  }

  /** An own object that this process knows no more: agents may keep it. */
  #forgotten(number: number): ObjectEntry {
    const { session, processId, nodeId, clock } = this.#parts;
    const entry = new ObjectEntry(session, processId, nodeId, number, clock.now() | 0);
    entry.shared = true;
    this.#own.set(number, entry);
    void this.#orphans.unknown(entry);
    return entry;
  }

  #ownerGone(owner: string, text: string): void {
    void this.#orphans.ownerDied([...this.#foreign.values()].filter((entry) => entry.owner === owner), text);
  }

  /** An owner that can't be reached has ended. What it holds itself counts until that is told. */
  #toOwner(owner: string, ownerNode: string, name: "borrow", body: Borrow): void;
  #toOwner(owner: string, ownerNode: string, name: "drop", body: Drop): void;
  #toOwner(owner: string, ownerNode: string, name: "borrow" | "drop", body: Borrow & Drop): void {
    this.#parts.connect({ process: owner, node: ownerNode }).then(
      (link) => link.channel.send(name, body),
      () => this.#ownerGone(owner, "it can't be reached"),
    );
  }
}
