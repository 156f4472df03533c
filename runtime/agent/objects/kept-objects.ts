// Objects that this node keeps for lifetimes: what processes detached, or made for a scope. They live on when their makers are
// gone, and end with the last of their lifetimes, when they are freed, or with the node, unless others have copies.
//
// Nothing but the nodes that keep an object knows of it. Who looks for one asks all of them, and so does who frees one; the head
// knows scopes and names alone. Of an object with replicas the first of its homes sees to it that there are enough.

import {
  type CopyOrder, endStory, KeptBook, type Lifetime, type ObjectEnd, objectEndOf, once, Replicas,
} from "../../core/index.ts";
import { NotFoundError, ObjectFreedError, ObjectLostError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type {
  AnswerBody, AnswerName, AnswerOf, CallHandlers, Caller, CallName, CallOf, Draft, HeldRef, KeepObjects,
  KeptObject, NodeInfo, SendOf, Stored,
} from "../../transport/index.ts";
import type { AgentObjects } from "./agent-objects.ts";
import type { HeadLink } from "../head/head-link.ts";
import { ObjectNames } from "./object-names.ts";
import type { Peers } from "../peers.ts";
import { reaching } from "./transfers.ts";

const ASK_TIMEOUT_MS = 30_000;
/** Objects that one message says are over. */
const TOLD_MAX = 10_000;
/** Copies that failed are tried again so often before who asked for them is answered; then now and then. */
const TRIES_MAX = 5;
const RETRY_MS = 200;
/** Copies are made of objects of any size. */
const COPY_TIMEOUT_MS = 600_000;

export interface KeptObjectsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly processId: string;
  readonly caller: Caller;
  readonly objects: AgentObjects;
  readonly peers: Pick<Peers, "connect" | "nodes" | "deathOf">;
  readonly head: () => Pick<HeadLink, "ask">;
  /** Code of user classes and functions inside a value is held for this node. */
  readonly hold: (code: { readonly id: string; readonly name: string }) => Promise<unknown>;
  /** Told to every process of this node. */
  readonly tell: (ended: SendOf<"objectsEnded">) => void;
}

interface Kept {
  readonly id: string;
  readonly object: HeldRef;
  readonly stored: Stored;
  readonly codes: NonNullable<KeptObject["value"]>["codes"];
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** For people: the head knows all its names. */
  name: string;
}

export class KeptObjects {
  readonly #parts: KeptObjectsParts;
  readonly #book = new KeptBook<Kept>();
  readonly #replicas: Replicas;
  readonly #names: ObjectNames;
  #isLeaving = false;
  /** Scopes that the head is asked about. */
  readonly #asking = new Map<string, Promise<void>>();
  readonly #copying = new Map<string, Promise<KeptObject>>();
  /** Copies that other nodes make now. */
  readonly #ordered = new Map<CopyOrder, Promise<void>>();

  constructor(parts: KeptObjectsParts) {
    this.#parts = parts;
    this.#replicas = new Replicas(parts.nodeId);
    this.#names = new ObjectNames({
      clock: parts.clock, head: parts.head, isKept: async (object) => (await this.#find([object]))[0].value !== undefined,
    });
  }

  // -- from processes ----------------------------------------------------------------------------------------------

  /** Of a process of this node. */
  calls(): CallHandlers {
    const head = <N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A) => (
      this.#parts.head().ask(name, body, expected)
    );
    return {
      keepObjects: (body) => this.#keep(body),
      findKept: async ({ objects }) => ({ kept: { objects: await this.#find(objects) } }),
      endObjects: ({ objects }) => this.#end(objects, FREED),
      openScope: async (body) => ({ lifetime: await head("openScope", body, "lifetime") }),
      endScope: async (body) => ({ done: await head("endScope", body, "done") }),
      findNamed: async (body) => ({ held: await head("findNamed", body, "held") }),
    };
  }

  /** Of another agent. */
  peerCalls(): CallHandlers {
    return {
      keepObjects: async ({ objects }) => ({ kept: { objects: await this.#keepAllHere(objects) } }),
      findKept: ({ objects }) => ({ kept: { objects: this.#findHere(objects) } }),
      endObjects: ({ objects, end }) => (
        { kept: { objects: this.#endHere(objects, objectEndOf(end)).map((object) => ({ object })) } }
      ),
      replicate: async ({ object }) => {
        await once(this.#copying, idOf(object?.object), () => this.#copy(object as KeptObject));
        return { done: {} };
      },
    };
  }

  /** The head's word. Safe to call twice. */
  scopeEnded(id: string, name: string): void {
    const end: ObjectEnd = { by: "scope", scope: name };
    this.#over(this.#book.endLifetime(id, end), [id], end);
  }

  /** The head was away: what it ended meanwhile is ended here too. */
  headBack(): void {
    const scopes = this.#book.scopes();
    if (scopes.length === 0) return;
    this.#parts.head().ask("findEnded", { ids: scopes }, "ended").then(
      ({ ids }) => ids.forEach((id) => this.scopeEnded(id, this.#book.nameOf(id))),
      () => {
        // It is gone again: the next one is asked.
      },
    );
  }

  nodeDied(node: string): void {
    this.#replicas.nodeGone(node);
    void this.#replicate();
  }

  /** This node is drained: what it keeps gets a copy elsewhere. */
  drain(): void {
    this.#isLeaving = true;
  }

  /** Now and then: where a node has come, or a copy has failed, there may be one now. */
  sweep(): void {
    void this.#replicate();
  }

  /** For the state API: each object once, by the node that leads it. */
  rows(): object[] {
    const { nodeId, processId } = this.#parts;
    return this.#book.values().filter(({ id }) => this.#leads(id)).map(({ id, stored, createdAt, name }) => {
      const homes = this.#replicas.homesOf(id);
      const lifetimes = this.#book.lifetimesOf(id);
      return {
        id, size: stored.size, state: "READY", ownerId: processId, locations: homes.length > 0 ? homes : [nodeId], createdAt,
        localHandles: 0, borrowers: 0, heldBy: [], name,
        lifetime: lifetimes.some(({ isScope }) => isScope) ? "scope" : "detached",
        scopes: lifetimes.filter(({ isScope }) => isScope).map((scope) => scope.name),
      };
    });
  }

  // -- keeping -----------------------------------------------------------------------------------------------------

  /** Each where it lies; what lies nowhere, here. */
  async #keep({ objects, name, namespace }: KeepObjects): Promise<AnswerBody> {
    const { nodeId } = this.#parts;
    if (name !== "") await this.#names.claim(name, namespace, objects[0].object as HeldRef);
    const kept = new Map<string, KeptObject>();
    const byNode = groupByNode(objects.map((one, index) => ({ ...one, name: index === 0 ? name : "" })), nodeId);
    try {
      await Promise.all([...byNode].map(async ([node, some]) => {
        const there = node === nodeId ? this.#keepAllHere(some) : this.#reaching(node, async () => {
          return (await this.#ask(node, COPY_TIMEOUT_MS)("keepObjects", { objects: some }, "kept")).objects;
        });
        for (const one of await there) kept.set(idOf(one.object), one);
      }));
    } catch (error) {
      if (name !== "") await this.#names.free(objects.map((one) => one.object as HeldRef));
      throw error;
    }
    return { kept: { objects: objects.map((one) => kept.get(idOf(one.object)) as KeptObject) } };
  }

  /** Those that can be kept are, also when others can't. */
  async #keepAllHere(objects: readonly KeptObject[]): Promise<KeptObject[]> {
    await this.#prepare(objects);
    const kept: Kept[] = [];
    const failures: unknown[] = [];
    // One after the other: most have nothing to wait for, and those that wait for room have to wait their turn.
    for (const one of objects) {
      try {
        kept.push(await this.#keepHere(one));
      } catch (error) {
        failures.push(error);
      }
    }
    await this.#copied(kept.map(({ id }) => id));
    if (failures.length > 0) throw failures[0];
    return kept.map((one) => this.#told(one));
  }

  /** Asks about all scopes, and for all code, at once. What comes of it each object is told. */
  async #prepare(objects: readonly KeptObject[]): Promise<void> {
    const scopes = new Map<string, string>();
    const codes = new Map<string, { readonly id: string; readonly name: string }>();
    for (const { lifetimes, value } of objects) {
      for (const { id, isScope, name } of lifetimes) if (isScope) scopes.set(id, name);
      for (const code of value?.codes ?? []) codes.set(code.id, code);
    }
    await Promise.allSettled([
      ...[...scopes].map(([scope, name]) => this.#mustLive(scope, name)),
      ...[...codes.values()].map((code) => this.#parts.hold(code)),
    ]);
  }

  async #keepHere({ object, value, lifetimes, replicas, homes, name: given }: KeptObject): Promise<Kept> {
    const id = idOf(object);
    for (const { id: scope, isScope, name } of lifetimes) if (isScope) await this.#mustLive(scope, name);
    await Promise.all((value?.codes ?? []).map((code) => this.#parts.hold(code)));
    let kept = this.#book.find(id);
    if (kept === undefined) {
      const stored = value?.stored ?? await this.#parts.objects.write(value?.value ?? NO_BYTES);
      kept = this.#book.find(id) ?? this.#take(id, object as HeldRef, stored, value?.codes ?? []);
      // A repeat was quicker.
      if (kept.stored !== stored && value?.stored === undefined) this.#free(stored);
    }
    if (given !== "") kept.name = given;
    for (const lifetime of lifetimes) this.#live(kept, lifetime);
    const { peers, nodeId } = this.#parts;
    const living = homes.filter((home) => peers.deathOf(home) === undefined);
    const wanted = Math.max(replicas, ...lifetimes.map((lifetime) => lifetime.replicas));
    if (wanted > 1 || homes.length > 0) this.#replicas.track(id, wanted, [...living, nodeId]);
    return kept;
  }

  #take(id: string, object: HeldRef, stored: Stored, codes: Kept["codes"]): Kept {
    const { clock, objects } = this.#parts;
    if (!objects.keep(stored)) throw new ObjectLostError(`object ${id} is not where it is said to lie`, { objectId: id });
    return { id, object, stored, codes, createdAt: clock.wallNow(), name: "" };
  }

  #live(kept: Kept, { id: lifetime, name, isScope, leftMs }: KeptObject["lifetimes"][number]): void {
    const { clock } = this.#parts;
    const endsAt = leftMs > 0 ? clock.now() + leftMs : undefined;
    const outcome = this.#book.keep(kept.id, kept, { id: lifetime, name, isScope, endsAt });
    if (outcome === "over") {
      if (this.#book.find(kept.id) === undefined) this.#free(kept.stored);
      throw isScope ? scopeError(name, kept.id) : this.#endedError(kept.id);
    }
    if (endsAt !== undefined) clock.after(leftMs, () => this.#expire());
  }

  /** A scope that this node hears of for the first time may be over. */
  async #mustLive(scope: string, name: string): Promise<void> {
    if (!this.#book.knows(scope) && !this.#book.hasEnded(scope)) {
      await once(this.#asking, scope, async () => {
        const { ids } = await this.#parts.head().ask("findEnded", { ids: [scope] }, "ended");
        if (ids.length > 0) this.scopeEnded(scope, name);
      });
    }
    if (this.#book.hasEnded(scope)) throw scopeError(name);
  }

  // -- finding -----------------------------------------------------------------------------------------------------

  async #find(objects: readonly HeldRef[]): Promise<Draft<KeptObject>[]> {
    const answers = [this.#findHere(objects), ...await this.#others((ask) => ask("findKept", { objects, here: true }, "kept"))];
    return objects.map((_one, index) => {
      const there = answers.map((answer) => ("objects" in answer ? answer.objects : answer)[index]);
      return there.find((one) => one?.value !== undefined) ?? there.find((one) => one?.object !== undefined) ?? NOT_KEPT;
    });
  }

  #findHere(objects: readonly HeldRef[]): Draft<KeptObject>[] {
    return objects.map((object) => {
      const id = idOf(object);
      const kept = this.#book.find(id);
      if (kept !== undefined) return this.#told(kept);
      const end = this.#book.endOf(id);
      return end === undefined ? NOT_KEPT : { object, end };
    });
  }

  /** As others are told: for how long, and where. */
  #told({ id, object, stored, codes, name }: Kept): KeptObject {
    const now = this.#parts.clock.now();
    const lifetimes = this.#book.lifetimesOf(id).map((one) => wireLifetime(one, now));
    const value = { stored, codes, lifetime: lifetimes[0]?.id ?? id } as KeptObject["value"];
    const homes = [...this.#replicas.homesOf(id)];
    return { object, value, lifetimes, replicas: this.#replicas.wantedOf(id), homes, name, end: undefined };
  }

  // -- ending ------------------------------------------------------------------------------------------------------

  /** On all nodes; the names of these are free again. */
  async #end(objects: readonly HeldRef[], end: ObjectEnd): Promise<AnswerBody> {
    const here = this.#endHere(objects, end);
    const there = await this.#others((ask) => ask("endObjects", { objects, here: true, end }, "kept"));
    const ended = [here, ...there.map((answer) => answer.objects.flatMap(({ object }) => object ?? []))].flat();
    await this.#names.free(objects);
    const asked = new Set(objects.map(idOf));
    const inside = ended.filter((object) => !asked.has(idOf(object)));
    // Who has refs to those is told on all nodes, too.
    return inside.length > 0 ? this.#end(inside, end) : { done: {} };
  }

  #endHere(objects: readonly HeldRef[], end: ObjectEnd): HeldRef[] {
    const ids = objects.map(idOf);
    const ended = ids.flatMap((id) => this.#book.end(id, end));
    this.#over(ended, ids, end, objects);
    return ended.map(({ object }) => object);
  }

  /** Each home sees the time pass; the one that leads tells the others, and whoever has refs. */
  #expire(): void {
    const { clock } = this.#parts;
    for (const lifetime of this.#book.due(clock.now())) {
      const kept = this.#book.endLifetime(lifetime, EXPIRED);
      const leads = kept.filter(({ id }) => this.#leads(id)).map(({ object }) => object);
      this.#over(kept, [lifetime], EXPIRED);
      this.#end(leads, EXPIRED).catch(() => {
        // Who could not be told sees it by its own clock; a name stays until somebody frees what it stood for.
      });
    }
  }

  /** These are freed here, and whoever has refs to them on this node, or to `others`, hears of it. */
  #over(ended: readonly Kept[], lifetimes: readonly string[], end: ObjectEnd, others: readonly HeldRef[] = []): void {
    for (const { id, stored } of ended) {
      this.#replicas.forget(id);
      this.#free(stored);
    }
    const objects = [...others, ...ended.map(({ object }) => object)];
    this.#parts.tell({ objects: objects.slice(0, TOLD_MAX), lifetimes: [...lifetimes], end });
    for (let from = TOLD_MAX; from < objects.length; from += TOLD_MAX) {
      this.#parts.tell({ objects: objects.slice(from, from + TOLD_MAX), end });
    }
  }

  /** It speaks for all that have a copy. */
  #leads(id: string): boolean {
    const { nodeId } = this.#parts;
    return (this.#replicas.homesOf(id)[0] ?? nodeId) === nodeId;
  }

  /** Of one that is to be kept and has ended, by itself or with a lifetime. */
  #endedError(objectId: string): ObjectFreedError {
    const end = this.#book.endOf(objectId) ?? FREED;
    return new ObjectFreedError(`object ${objectId} can't be kept: it ${endStory(end)}`, { objectId, freedBy: end.by });
  }

  #free({ slot, generation }: Stored): void {
    this.#parts.objects.freeLocal(slot, generation);
  }

  // -- replicas ----------------------------------------------------------------------------------------------------

  /** They have the copies that were asked for, as far as there are nodes: who hears so may rely on them. */
  async #copied(ids: readonly string[]): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      await this.#replicate();
      // Also those that somebody else has ordered.
      await Promise.all([...this.#ordered].flatMap(([{ id }, done]) => (ids.includes(id) ? [done] : [])));
      if (tries === TRIES_MAX || !(await this.#lacks(ids))) return;
      await new Promise<void>((resolve) => void this.#parts.clock.after(RETRY_MS, resolve));
    }
  }

  /** There are nodes for copies that these should have, or will be as soon as this one hears of them. */
  async #lacks(ids: readonly string[]): Promise<boolean> {
    const { peers, nodeId, head } = this.#parts;
    const nodes = peers.nodes().filter(({ state }) => state === "ALIVE").map(({ id }) => id);
    const lacking = ids.filter((id) => this.#replicas.lacks(id));
    if (lacking.length === 0) return false;
    if (lacking.some((id) => nodes.some((node) => node !== nodeId && !this.#replicas.homesOf(id).includes(node)))) return true;
    try {
      const { total } = await head().ask("listState", { kind: "nodes", filters: { state: "ALIVE" }, limit: 1 }, "stateRows");
      return total > nodes.length;
    } catch {
      // Without a head no node comes.
      return false;
    }
  }

  /** Makes the copies that are missing and that there is a node for. Those that fail are tried again at the next sweep. */
  async #replicate(): Promise<void> {
    const { nodeId, peers } = this.#parts;
    if (this.#isLeaving) for (const { id } of this.#book.values()) this.#replicas.track(id, 1, [nodeId]);
    if (this.#replicas.size === 0) return;
    const nodes = peers.nodes().filter(({ id, state }) => id !== nodeId && state === "ALIVE");
    const leaving = new Set(peers.nodes().filter(({ state }) => state === "DRAINING").map(({ id }) => id));
    await Promise.all(this.#replicas.orders(roomiest(nodes), leaving).map((order) => {
      const done = this.#order(order).finally(() => this.#ordered.delete(order));
      this.#ordered.set(order, done);
      return done;
    }));
  }

  async #order(order: CopyOrder): Promise<void> {
    const kept = this.#book.find(order.id);
    if (kept === undefined) return this.#replicas.forget(order.id);
    const object = this.#told(kept);
    const copied = { ...object, homes: [...object.homes, order.to] };
    try {
      await this.#ask(order.to, COPY_TIMEOUT_MS)("replicate", { object: copied }, "done");
    } catch {
      return this.#replicas.failed(order);
    }
    const now = this.#book.find(order.id);
    const others = this.#replicas.made(order);
    if (now === undefined) return;
    for (const home of others) {
      this.#ask(home)("replicate", { object: this.#told(now) }, "done").catch(() => {
        // It is dying, and leaves the homes then, or hears of the new one when it needs another.
      });
    }
  }

  /** This node is to keep one, from a home of it. With one it learns who else has. */
  async #copy(kept: KeptObject): Promise<KeptObject> {
    const { objects, nodeId } = this.#parts;
    const { object, value, lifetimes, homes } = kept;
    const id = idOf(object);
    const isOver = [id, ...lifetimes.map((one) => one.id)].some((one) => this.#book.hasEnded(one));
    if (isOver) throw this.#endedError(id);
    const known = this.#book.find(id);
    const stored = known?.stored ?? await objects.replicate(value?.stored as Stored);
    const copy = { ...kept, value: { codes: [], ...value, value: undefined, stored } as never };
    try {
      return this.#told(await this.#keepHere({ ...copy, homes: homes.filter((home) => home !== nodeId) }));
    } catch (error) {
      if (known === undefined) this.#free(stored);
      throw error;
    }
  }

  // -- other nodes -------------------------------------------------------------------------------------------------

  /** Answers of all other nodes that live; the dead have nothing to tell. */
  async #others<T>(question: (ask: Ask) => Promise<T>): Promise<T[]> {
    const { nodeId, peers } = this.#parts;
    const others = peers.nodes().filter(({ id, state }) => id !== nodeId && state !== "DEAD");
    const answers = await Promise.all(others.map(async ({ id }) => {
      try {
        return [await this.#reaching(id, () => question(this.#ask(id)))];
      } catch (error) {
        if (peers.deathOf(id) !== undefined) return [];
        throw error;
      }
    }));
    return answers.flat();
  }

  #reaching<T>(node: string, attempt: () => Promise<T>): Promise<T> {
    return reaching({ clock: this.#parts.clock, network: this.#parts.peers }, node, attempt);
  }

  #ask(node: string, timeoutMs = ASK_TIMEOUT_MS): Ask {
    const { caller, peers } = this.#parts;
    return async (name, body, expected) => caller.call(await peers.connect(node), name, body, expected, { timeoutMs });
  }
}

type Ask = <N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A) => Promise<AnswerOf<A>>;

const FREED: ObjectEnd = { by: "free", scope: "" };
const EXPIRED: ObjectEnd = { by: "ttl", scope: "" };
const NO_BYTES = new Uint8Array(0);
const NOT_KEPT: Draft<KeptObject> = {};

function idOf(object: HeldRef | undefined): string {
  if (object === undefined) throw new NotFoundError("an object without an id");
  return `${object.owner}.${object.object.toString(36)}`;
}

function groupByNode(objects: readonly KeptObject[], here: string): Map<string, KeptObject[]> {
  const groups = new Map<string, KeptObject[]>();
  for (const one of objects) {
    const node = one.value?.stored?.node ?? here;
    const group = groups.get(node);
    if (group === undefined) groups.set(node, [one]);
    else group.push(one);
  }
  return groups;
}

function wireLifetime({ id, name, isScope, endsAt }: Lifetime, now: number): KeptObject["lifetimes"][number] {
  return { id, name, isScope, replicas: 0, leftMs: endsAt === undefined ? 0 : Math.max(1, Math.ceil(endsAt - now)) };
}

function scopeError(scope: string, objectId = ""): ObjectFreedError {
  const what = objectId === "" ? "" : `object ${objectId} can't be kept: `;
  return new ObjectFreedError(`${what}the scope "${scope}" was freed`, { objectId, freedBy: "scope" });
}

/** Those with the least to do first. */
function roomiest(nodes: readonly NodeInfo[]): string[] {
  return [...nodes].sort((one, other) => one.backlog - other.backlog || (one.id < other.id ? -1 : 1)).map(({ id }) => id);
}
