// Scopes: named lifetimes for many objects, whoever makes them and on whichever node.

import { currentSession, entryOf, lastingNamespace, type ObjectRef, type Session } from "../runtime/owner/index.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";
import type { Lifetime } from "../runtime/transport/index.ts";
import { type Check, checkName, checkOptions, text, whole } from "../runtime/option-checks.ts";

/**
 * What `put(value, { scope })` and tasks with the option `scope` make lives until the scope is freed, or the cluster ends: also
 * when their process, its job and its driver are gone. A scope can be sent anywhere.
 */
export class Scope {
  /** Of this scope: one of the same name that is opened when it was freed has another. */
  readonly id: string;
  readonly name: string;
  /** Nodes that have a copy of what is made for it by way of this, as far as there are so many. */
  readonly replicas: number;

  /** @internal */
  constructor(id: string, name: string, replicas: number) {
    this.id = id;
    this.name = name;
    this.replicas = replicas;
  }

  /** Keeps objects for it that were made without it, with what is inside them. Those that have failed are left out. */
  async keep(refs: readonly ObjectRef[]): Promise<void> {
    const entries = refs.map((ref) => entryOf(ref));
    if (entries.length > 0) await currentSession().keeping.keepIn(entries, lifetimeOf(this));
  }

  /** Frees everything in it, everywhere. What is made for it later fails with ObjectFreedError. A repeat changes nothing. */
  async free(): Promise<void> {
    await currentSession().ask("endScope", { id: this.id }, "done");
  }

  /** @internal */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [restoreScope, [this.id, this.name, this.replicas]];
  }
}

/** @internal The same in another process. */
export function restoreScope(id: string, name: string, replicas: number): Scope {
  return new Scope(id, name, replicas);
}

export interface ScopeOptions {
  readonly namespace?: string | undefined;
  /** Nodes that have a copy of what is made for it, as far as there are so many. Default 1. */
  readonly replicas?: number | undefined;
}

/**
 * The scope of that name, which lives until it is freed; a new one when there is none. Drivers that were given no namespace share
 * their scopes.
 *
 * @throws InvalidArgumentError for a name that is none.
 */
export async function scope(name: string, options: ScopeOptions = {}): Promise<Scope> {
  const { replicas, ...named } = checkOptions("scope", options, { namespace: text, replicas: isReplicas });
  return openScope(currentSession(), name, checkName("scope", name, named), replicas);
}

/** @internal */
export async function openScope(
  session: Session, name: string, namespace: string | undefined, replicas = 1,
): Promise<Scope> {
  const asked = { name, namespace: namespace ?? lastingNamespace(session.namespace) };
  const { id } = await session.ask("openScope", asked, "lifetime");
  return new Scope(id, name, replicas);
}

/** More nodes than a cluster has. */
const REPLICAS_MAX = 1000;
export const isReplicas = whole(1, REPLICAS_MAX);
export const isScope: Check = (value) => (value instanceof Scope ? undefined : 'a scope: await scope("name")');

/** As agents are told. */
export function lifetimeOf(scope: Scope): Lifetime {
  return { id: scope.id, name: scope.name, isScope: true, leftMs: 0, replicas: scope.replicas };
}
