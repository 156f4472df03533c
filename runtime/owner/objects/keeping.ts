// Objects that live on when this process is gone: kept by agents for a lifetime, found again there, and freed on demand.
//
// A lifetime is a scope, or the object's own. What is inside a value is kept with it. Owners and borrowers go on as they are:
// whoever finds that an owner is gone, or knows an object no more, asks the agents, so a ref need not tell that it is kept.

import { endStory, objectEndOf } from "../../core/index.ts";
import { failureOf, InvalidArgumentError, NotFoundError, ObjectFreedError, ObjectLostError } from "../../errors.ts";
import type { Draft, Failure, HeldRef, KeepObjects, KeptObject, Lifetime, ObjectsEnded } from "../../transport/index.ts";
import { KeepQuestions } from "./keep-questions.ts";
import { Lifetimes } from "./lifetimes.ts";
import { type DetachOptions, heldRef, type ObjectEntry, ObjectRef, objectIdOf } from "./object-ref.ts";
import type { Session } from "../session.ts";
import { warn } from "../../warnings.ts";
import { isError, type WireValue } from "../values/wire-value.ts";

/** Objects that one question to the agent is about. */
const ASKED_MAX = 1000;
/** Large objects are copied to other nodes before a request to keep them is answered. */
const KEEP_TIMEOUT_MS = 600_000;
/** An object that is said to be there, and is not, so often is given up. */
const LOSSES_MAX = 10;

/** How agents are to keep something. */
interface Keep {
  readonly lifetime: Draft<Lifetime>;
  readonly replicas?: number | undefined;
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  /** By the clock of this process. */
  readonly endsAt?: number | undefined;
}

export class Keeping {
  readonly #session: Session;
  readonly #lifetimes = new Lifetimes();
  readonly #questions: KeepQuestions;
  /** How own objects were detached: what is made again is kept so again. */
  readonly #detached = new WeakMap<ObjectEntry, Keep>();

  constructor(session: Session) {
    this.#session = session;
    this.#questions = new KeepQuestions((objects) => this.#ask({ objects }));
  }

  // -- keeping -----------------------------------------------------------------------------------------------------

  async detach(entry: ObjectEntry, { name = "", namespace = "", ttlMs = 0, replicas = 1 }: DetachOptions): Promise<void> {
    const { borrowing, values, recovery } = this.#session;
    if (!borrowing.isValue(entry)) throw new InvalidArgumentError(`detach: ${entry.id} is not a value`);
    borrowing.addLocal(entry);
    try {
      for (let losses = 0; ; losses += 1) {
        const value = await this.#valueOf(entry);
        if (isError(value)) {
          throw await values.failed(value);
        }
        try {
          const lifetime = { id: entry.id, name, leftMs: ttlMs };
          const keep = { lifetime, replicas, name, namespace };
          await this.#keepAll([entry, ...await this.#inside(entry)], keep);
          return this.#remember(entry, keep);
        } catch (error) {
          const isMissing = error instanceof ObjectLostError && !(error instanceof ObjectFreedError);
          if (!isMissing || !value.stored || losses >= LOSSES_MAX) throw error;
          recovery.missing(entry, value.stored, error.message);
        }
      }
    } finally {
      borrowing.dropLocal(entry);
    }
  }

  /**
   * A value made here, for a scope. Those inside it that are not there yet are kept when they are. What it is from then on;
   * `object` is whose value it is to be.
   */
  async keep(object: HeldRef, value: WireValue, contained: readonly ObjectEntry[], scope: Draft<Lifetime>): Promise<WireValue> {
    const { borrowing } = this.#session;
    const inside = contained.filter((entry) => borrowing.isValue(entry));
    const isThere = ({ state }: ObjectEntry) => state === "ready";
    for (const entry of inside) if (!isThere(entry)) this.keepLater(entry, scope);
    const keep = { lifetime: scope };
    const objects = [keptOf(object, value, keep), ...inside.filter(isThere).map((entry) => ofEntry(entry, keep))];
    try {
      const [kept] = await this.#questions.keep(scope.id as string, objects);
      // One that a former attempt made is the one that is kept.
      const moved = value.stored ? { stored: kept.value?.stored } : {};
      return { ...value, ...moved, lifetime: scope.id };
    } catch (error) {
      borrowing.unsent([value]);
      throw error;
    }
  }

  /** When it is there. What fails then is not kept. */
  keepLater(entry: ObjectEntry, scope: Draft<Lifetime>): void {
    const { borrowing } = this.#session;
    borrowing.addLocal(entry);
    const kept = async () => {
      if (isError(await this.#valueOf(entry))) return;
      const entries = [entry, ...await this.#inside(entry)];
      await this.#questions.keep(scope.id as string, entries.map((one) => ofEntry(one, { lifetime: scope })));
      for (const one of entries) this.kept(one, scope.id as string);
    };
    kept().catch(() => {
      // It goes with its owner then, and who reads it is told.
    }).finally(() => borrowing.dropLocal(entry));
  }

  /**
   * Objects that are there, with what is inside them. What has failed is not kept. This process goes on to own those it has made,
   * and makes them again when they are lost while it lives.
   */
  async keepIn(entries: readonly ObjectEntry[], scope: Draft<Lifetime>): Promise<void> {
    const all = new Set<ObjectEntry>();
    for (const entry of entries) {
      if (isError(await this.#valueOf(entry))) continue;
      for (const one of [entry, ...await this.#inside(entry)]) all.add(one);
    }
    await Promise.all([...all].map(async (entry) => {
      await this.#questions.keep(scope.id as string, [ofEntry(entry, { lifetime: scope })]);
      if (entry.owner !== this.#session.parts.identity.processId) this.kept(entry, scope.id as string);
    }));
  }

  /** An own object was lost and made again: it is kept as it was. Until then it is this process's alone. */
  keepAgain(entry: ObjectEntry): void {
    const keep = this.#detached.get(entry);
    if (keep === undefined) return;
    const { borrowing, parts: { seams: { clock } } } = this.#session;
    const { endsAt, ...before } = keep;
    // What ends meanwhile is told to its refs, like any other end.
    const leftMs = endsAt === undefined ? 0 : Math.max(1, endsAt - clock.now());
    borrowing.addLocal(entry);
    const kept = async () => {
      const entries = [entry, ...await this.#inside(entry)];
      return this.#keepAll(entries, { ...before, lifetime: { ...keep.lifetime, leftMs } });
    };
    kept().catch((error: Error) => {
      warn("TROUPE_NOT_KEPT", `object ${entry.id} was lost and made again, and is not detached any more: ${error.message}`);
    }).finally(() => borrowing.dropLocal(entry));
  }

  /** Names add up at the head; of the rest the last word holds, and the most copies. */
  #remember(entry: ObjectEntry, keep: Keep): void {
    const { identity, seams: { clock } } = this.#session.parts;
    if (entry.owner !== identity.processId) return;
    const before = this.#detached.get(entry);
    const leftMs = keep.lifetime.leftMs ?? 0;
    const endsAt = leftMs > 0 ? clock.now() + leftMs : undefined;
    const named = keep.name === "" && before !== undefined ? { name: before.name, namespace: before.namespace } : {};
    const replicas = Math.max(keep.replicas ?? 1, before?.replicas ?? 1);
    this.#detached.set(entry, { ...keep, ...named, replicas, endsAt });
  }

  // -- finding and freeing -----------------------------------------------------------------------------------------

  /** Values of those that agents keep, in the same order, or why those that they kept have none; undefined for others. */
  async find(objects: readonly HeldRef[]): Promise<(WireValue | undefined)[]> {
    const found: (WireValue | undefined)[] = [];
    for (let from = 0; from < objects.length; from += ASKED_MAX) {
      const some = objects.slice(from, from + ASKED_MAX);
      const kept = await this.#session.ask("findKept", { objects: some }, "kept");
      for (const { object, value, end } of kept.objects) found.push(value ?? (object && freedValue(object, objectEndOf(end))));
    }
    return found;
  }

  async named(name: string, namespace: string): Promise<ObjectRef> {
    const { borrowing, parts } = this.#session;
    const held = await this.#session.ask("findNamed", { name, namespace }, "held");
    const [value] = await this.find([held]);
    const isOwn = held.owner === parts.identity.processId && borrowing.own(held.object) !== undefined;
    // Its owner makes again what is lost, when somebody reads it.
    if (value === undefined && isOwn) return this.#refOf(borrowing.received(held.owner, held.ownerNode, held.object));
    const objectId = objectIdOf(held.owner, held.object);
    const text = `object ${objectId}, named "${name}", is lost: no node of the cluster has it any more`;
    return this.#refTo(held, value ?? { failure: failureOf(new ObjectLostError(text, { objectId })) as Failure });
  }

  /** Refs to those that agents keep, in the same order; undefined for others. */
  async refsTo(objects: readonly HeldRef[]): Promise<(ObjectRef | undefined)[]> {
    const values = await this.find(objects);
    return values.map((value, index) => (value === undefined ? undefined : this.#refTo(objects[index], value)));
  }

  #refTo({ owner, ownerNode, object }: HeldRef, value: WireValue): ObjectRef {
    const { borrowing } = this.#session;
    const entry = borrowing.received(owner, ownerNode, object);
    const ref = this.#refOf(entry);
    borrowing.settle(entry, value);
    return ref;
  }

  #refOf(entry: ObjectEntry): ObjectRef {
    const ref = new ObjectRef(entry);
    this.#session.borrowing.groupHandles([entry], [ref]);
    return ref;
  }

  /** Whatever their state is. From now on they can be named to agents. */
  async free(refs: readonly ObjectRef[]): Promise<void> {
    this.#session.checkAlive();
    const ended = refs.find(({ entry }) => entry.session !== this.#session);
    if (ended !== undefined) throw new NotFoundError(`free: the session that ${ended.id} belongs to has ended`);
    const objects = refs.map((ref) => heldRef(this.#session.borrowing.share(ref)));
    for (let from = 0; from < objects.length; from += ASKED_MAX) {
      await this.#session.ask("endObjects", { objects: objects.slice(from, from + ASKED_MAX) }, "done", KEEP_TIMEOUT_MS);
    }
  }

  /** Agents keep it for that lifetime. */
  kept(entry: ObjectEntry, lifetime: string): void {
    if (entry.state !== "ready") return;
    const end = this.#lifetimes.endOf(lifetime);
    if (end !== undefined) return this.#session.borrowing.revoke(entry, freedValue(heldRef(entry), end));
    entry.value = { ...entry.value, lifetime };
    this.#lifetimes.add(lifetime, entry);
  }

  /** The agent's word: these were freed, and what was kept for those lifetimes. */
  ended({ objects, lifetimes, end: told }: ObjectsEnded): void {
    const end = objectEndOf(told);
    const { borrowing } = this.#session;
    const known = objects.flatMap(({ owner, object }) => borrowing.known(owner, object) ?? []);
    for (const entry of [...known, ...lifetimes.flatMap((one) => this.#lifetimes.end(one, end))]) {
      borrowing.revoke(entry, freedValue(heldRef(entry), end));
    }
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  async #ask(keep: Draft<KeepObjects>): Promise<readonly KeptObject[]> {
    return (await this.#session.ask("keepObjects", keep, "kept", KEEP_TIMEOUT_MS)).objects;
  }

  async #valueOf(entry: ObjectEntry): Promise<WireValue> {
    const { waiting, borrowing } = this.#session;
    await waiting.settled(entry, (one) => borrowing.want(one));
    return entry.value as WireValue;
  }

  /** All values inside one, at any depth. */
  async #inside(entry: ObjectEntry, seen = new Set([entry])): Promise<ObjectEntry[]> {
    const found: ObjectEntry[] = [];
    for (const inner of entry.contained ?? []) {
      if (seen.has(inner) || !this.#session.borrowing.isValue(inner)) continue;
      seen.add(inner);
      if (isError(await this.#valueOf(inner))) continue;
      found.push(inner, ...await this.#inside(inner, seen));
    }
    return found;
  }

  async #keepAll(entries: readonly ObjectEntry[], keep: Keep): Promise<void> {
    const { name, namespace, lifetime } = keep;
    const objects = entries.map((entry) => ofEntry(entry, keep));
    await this.#ask({ objects, name, namespace });
    for (const entry of entries) this.kept(entry, lifetime.id as string);
  }
}

function ofEntry(entry: ObjectEntry, keep: Keep): Draft<KeptObject> {
  return keptOf(heldRef(entry), entry.value as WireValue, keep);
}

function keptOf(object: HeldRef, value: WireValue, { lifetime, replicas }: Keep): Draft<KeptObject> {
  return { object, value: { ...value, contained: [] }, lifetimes: [lifetime], replicas };
}

/** Of an object that was freed; without an end, of one that nobody knows any more. */
export function freedValue({ owner, object }: HeldRef, end = objectEndOf(undefined)): WireValue {
  return { failure: failureOf(freedError(objectIdOf(owner, object), end)) as Failure };
}

export function freedError(objectId: string, end = objectEndOf(undefined)): ObjectFreedError {
  return new ObjectFreedError(`object ${objectId} ${endStory(end)}`, { objectId, freedBy: end.by });
}
