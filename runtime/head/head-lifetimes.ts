// Scopes and names of objects: which there are, not what they hold. Both outlive this head in its storage, and end with the
// cluster.
//
// Agents keep the objects. They ask about a scope before they keep something for it, hear of its end, and ask again after a time
// without the head. A name tells which object it is; where that is kept, agents find among themselves.

import { InvalidArgumentError, NameTakenError, NotFoundError } from "../errors.ts";
import type { Random } from "../seams.ts";
import type { OpenStorage, StoreChange } from "../storage/index.ts";
import type {
  AnswerBody, CallHandlers, EndScope, FindNamed, HeldRef, NameObject, OpenScope, Unname,
} from "../transport/index.ts";

/** Of a name and its namespace, in UTF-8: they are a key of the storage. */
const NAME_BYTES = 1024;
const SCOPE_ID_BYTES = 8;
const SCOPES = "scope/";
const NAMES = "object/";
const SCAN_MAX = 10_000;

export interface HeadLifetimesParts {
  readonly clusterId: string;
  readonly random: Random;
  readonly storage: OpenStorage;
  /** Every agent is told. */
  readonly scopeEnded: (scope: { readonly id: string; readonly name: string }) => void;
}

interface Scope {
  readonly id: string;
  readonly name: string;
}

export class HeadLifetimes {
  readonly #parts: HeadLifetimesParts;
  /** By key of the storage. */
  readonly #scopes = new Map<string, Scope>();
  readonly #keys = new Map<string, string>();
  readonly #names = new Map<string, HeldRef>();
  /** What an earlier cluster left is removed before anything is written. */
  #cleared: Promise<unknown> | undefined;
  /** One change after the other: what is looked at is what is written. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: HeadLifetimesParts) {
    this.#parts = parts;
    this.#load();
  }

  /** What agents ask. */
  calls(): CallHandlers {
    return {
      openScope: (body) => this.#open(body),
      endScope: (body) => this.#end(body),
      findEnded: ({ ids }) => ({ ended: { ids: ids.filter((id) => !this.#keys.has(id)) } }),
      nameObject: (body) => this.#name(body),
      findNamed: (body) => this.#find(body),
      unname: (body) => this.#unname(body),
    };
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** The living scope of that name, or a new one. */
  #open({ name, namespace }: OpenScope): Promise<AnswerBody> {
    const key = keyOf(SCOPES, namespace, name);
    return this.#change(async () => {
      let scope = this.#scopes.get(key);
      if (scope === undefined) {
        scope = { id: `scope-${this.#parts.random.hex(SCOPE_ID_BYTES)}`, name };
        await this.#write({ kind: "set", key, value: this.#record(scope) });
        this.#scopes.set(key, scope);
        this.#keys.set(scope.id, key);
      }
      return { lifetime: { ...scope, isScope: true } };
    });
  }

  /** A repeat changes nothing. */
  #end({ id }: EndScope): Promise<AnswerBody> {
    return this.#change(async () => {
      const key = this.#keys.get(id);
      const name = this.#scopes.get(key ?? "")?.name ?? "";
      if (key !== undefined) {
        await this.#write({ kind: "delete", key });
        this.#keys.delete(id);
        this.#scopes.delete(key);
      }
      this.#parts.scopeEnded({ id, name });
      return { done: {} };
    });
  }

  /** A repeat for the same object changes nothing. */
  #name({ name, namespace, object }: NameObject): Promise<AnswerBody> {
    const key = keyOf(NAMES, namespace, name);
    return this.#change(async () => {
      const holder = this.#names.get(key);
      if (holder !== undefined && idOf(holder) !== idOf(object as HeldRef)) {
        const text = `an object named "${name}" is there already in namespace "${namespace}": free it first, or use another name`;
        throw new NameTakenError(text, { name, namespace });
      }
      await this.#write({ kind: "set", key, value: this.#record(object as HeldRef) });
      this.#names.set(key, object as HeldRef);
      return { done: {} };
    });
  }

  #find({ name, namespace }: FindNamed): AnswerBody {
    const held = this.#names.get(keyOf(NAMES, namespace, name));
    if (held !== undefined) return { held };
    throw new NotFoundError(`there is no object named "${name}" in namespace "${namespace}"`, { name, namespace });
  }

  /** Their names are free again. */
  #unname({ objects }: Unname): Promise<AnswerBody> {
    return this.#change(async () => {
      const ids = new Set(objects.map(idOf));
      const gone = [...this.#names].filter(([, held]) => ids.has(idOf(held))).map(([key]) => key);
      if (gone.length > 0) await this.#write(...gone.map((key): StoreChange => ({ kind: "delete", key })));
      for (const key of gone) this.#names.delete(key);
      return { done: {} };
    });
  }

  #load(): void {
    const stale: StoreChange[] = [];
    for (const [key, { cluster, ...record }] of this.#entries(SCOPES)) {
      if (cluster !== this.#parts.clusterId) stale.push({ kind: "delete", key });
      else {
        this.#scopes.set(key, record as Scope);
        this.#keys.set((record as Scope).id, key);
      }
    }
    for (const [key, { cluster, ...record }] of this.#entries(NAMES)) {
      if (cluster !== this.#parts.clusterId) stale.push({ kind: "delete", key });
      else this.#names.set(key, record as HeldRef);
    }
    if (stale.length > 0) this.#cleared = this.#parts.storage.commit(stale);
    // Whoever writes next is told.
    this.#cleared?.catch(() => {});
  }

  *#entries(prefix: string): Generator<readonly [string, { cluster: string } & object]> {
    let after: string | undefined;
    for (;;) {
      const found = this.#parts.storage.scan({ prefix, after, limit: SCAN_MAX });
      for (const { key, value } of found) yield [key, JSON.parse(Buffer.from(value).toString()) as { cluster: string }];
      if (found.length < SCAN_MAX) return;
      after = found[found.length - 1].key;
    }
  }

  #change<T>(work: () => Promise<T>): Promise<T> {
    const changed = this.#last.then(work);
    this.#last = changed.catch(() => {});
    return changed;
  }

  async #write(...changes: StoreChange[]): Promise<void> {
    await this.#cleared;
    await this.#parts.storage.commit(changes);
  }

  /** An object lives no longer than its cluster, and neither does what is known of it. */
  #record(about: Scope | HeldRef): Uint8Array {
    return Buffer.from(JSON.stringify({ ...about, cluster: this.#parts.clusterId }));
  }
}

function keyOf(kind: string, namespace: string, name: string): string {
  const key = kind + JSON.stringify([namespace, name]);
  if (name !== "" && Buffer.byteLength(key) <= NAME_BYTES) return key;
  throw new InvalidArgumentError(`a name and its namespace have at most ${NAME_BYTES - 50} bytes: "${name.slice(0, 40)}…"`);
}

function idOf({ owner, object }: HeldRef): string {
  return `${owner}.${object}`;
}
