// Objects that outlive who made them: found by name, and freed by hand.

import { InvalidArgumentError } from "../runtime/errors.ts";
import {
  currentSession, type DetachOptions, entryOf, heldRef, isRef, lastingNamespace, type ObjectRef, setDetachCheck,
} from "../runtime/owner/index.ts";
import type { HeldRef } from "../runtime/transport/index.ts";
import { isReplicas } from "./scopes.ts";
import { type Checks, checkName, checkOptions, limit, text } from "../runtime/option-checks.ts";

const DETACH_CHECKS: Checks = { name: text, namespace: text, ttlMs: limit, replicas: isReplicas };

setDetachCheck((given: DetachOptions): DetachOptions => {
  const options = checkOptions("detach", given, DETACH_CHECKS);
  return { ...options, namespace: options.namespace ?? lastingNamespace(currentSession().namespace) };
});

/**
 * The detached object of that name. Drivers that were given no namespace share one for such names.
 *
 * @throws NotFoundError when there is none of that name.
 */
export async function getObject<T = unknown>(
  name: string, options: { readonly namespace?: string } = {},
): Promise<ObjectRef<T>> {
  const namespace = checkName("getObject", name, options);
  const session = currentSession();
  return session.keeping.named(name, namespace ?? lastingNamespace(session.namespace)) as Promise<ObjectRef<T>>;
}

/**
 * Frees objects everywhere: their copies in stores and on disk, and their names, whatever they were kept for. Who has refs to
 * them gets ObjectFreedError. Objects inside them that were detached with them go too; a repeat changes nothing.
 */
export async function free(refs: ObjectRef | readonly ObjectRef[]): Promise<void> {
  const list: readonly unknown[] = Array.isArray(refs) ? refs : [refs];
  const checked = list.map((ref, index) => {
    if (!isRef(ref)) throw new InvalidArgumentError(`free: element ${index} is not an ObjectRef`);
    entryOf(ref);
    return ref;
  });
  if (checked.length > 0) await currentSession().keeping.free(checked);
}

/** Which object a ref is for, as plain data: another process finds it with that, if agents keep it. */
export interface ObjectPlace {
  readonly owner: string;
  readonly ownerNode: string;
  readonly object: number;
}

export function placeOfRef(ref: ObjectRef): ObjectPlace {
  return heldRef(entryOf(ref));
}

/** Refs to objects that agents keep, in the same order; undefined for those that are nowhere any more. */
export async function findObjects(places: readonly ObjectPlace[]): Promise<(ObjectRef | undefined)[]> {
  return places.length === 0 ? [] : currentSession().keeping.refsTo(places as HeldRef[]);
}
