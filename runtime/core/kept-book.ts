// What an agent keeps for lifetimes, and until when: an object goes with the last of the lifetimes that it is kept for.
//
// Pure. A lifetime is a scope, with any number of objects, or an object's own, with it and what is inside it. What has ended is
// remembered, so that a request to keep something that comes late is refused and not kept for ever.

import type { ObjectEnd } from "./object-end.ts";
import { Recent } from "./recent.ts";

export interface Lifetime {
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly isScope: boolean;
  /** Milliseconds of the clock; undefined is without an end. */
  readonly endsAt: number | undefined;
}

interface Living {
  lifetime: Lifetime;
  readonly members: Set<string>;
}

interface Kept<T> {
  readonly value: T;
  readonly lifetimes: Set<string>;
}

/** Ends that are remembered: of objects, and of lifetimes. */
const ENDS_MAX = 100_000;

export class KeptBook<T> {
  readonly #kept = new Map<string, Kept<T>>();
  readonly #living = new Map<string, Living>();
  readonly #ends = new Recent<string, ObjectEnd>(ENDS_MAX);

  get size(): number {
    return this.#kept.size;
  }

  /** "over": the object, or the lifetime, has ended, and is not kept. "known": it is kept as it was before. */
  keep(id: string, value: T, lifetime: Lifetime): "new" | "known" | "over" {
    if (this.hasEnded(id) || this.hasEnded(lifetime.id)) return "over";
    const known = this.#kept.get(id);
    if (known === undefined) this.#kept.set(id, { value, lifetimes: new Set([lifetime.id]) });
    else known.lifetimes.add(lifetime.id);
    const living = this.#living.get(lifetime.id);
    if (living === undefined) this.#living.set(lifetime.id, { lifetime, members: new Set([id]) });
    else {
      living.lifetime = lifetime;
      living.members.add(id);
    }
    return known === undefined ? "new" : "known";
  }

  find(id: string): T | undefined {
    return this.#kept.get(id)?.value;
  }

  lifetimesOf(id: string): Lifetime[] {
    return [...(this.#kept.get(id)?.lifetimes ?? [])].map((one) => (this.#living.get(one) as Living).lifetime);
  }

  values(): T[] {
    return [...this.#kept.values()].map(({ value }) => value);
  }

  /** Scopes that something is kept for. */
  scopes(): string[] {
    return [...this.#living.values()].filter(({ lifetime }) => lifetime.isScope).map(({ lifetime }) => lifetime.id);
  }

  /** Of a lifetime that something is kept for. */
  nameOf(lifetime: string): string {
    return this.#living.get(lifetime)?.lifetime.name ?? "";
  }

  knows(lifetime: string): boolean {
    return this.#living.has(lifetime);
  }

  hasEnded(idOrLifetime: string): boolean {
    return this.#ends.has(idOrLifetime);
  }

  /** What ended it; undefined while it has not ended, or when that was too long ago. */
  endOf(idOrLifetime: string): ObjectEnd | undefined {
    return this.#ends.peek(idOrLifetime);
  }

  /** What is kept for nothing else is kept no more. The first word about an end holds. */
  endLifetime(lifetime: string, end: ObjectEnd): T[] {
    this.#ended(lifetime, end);
    const members = this.#living.get(lifetime)?.members ?? [];
    this.#living.delete(lifetime);
    return [...members].flatMap((id) => this.#leave(id, lifetime, end));
  }

  /** The object is kept no more, whatever for, and with it goes what was kept for its sake. */
  end(id: string, end: ObjectEnd): T[] {
    this.#ended(id, end);
    const kept = this.#kept.get(id);
    this.#kept.delete(id);
    for (const lifetime of kept?.lifetimes ?? []) this.#dropMember(lifetime, id);
    const ended = this.endLifetime(id, end);
    return kept === undefined ? ended : [kept.value, ...ended];
  }

  /** Lifetimes whose time is over. */
  due(now: number): string[] {
    const due: string[] = [];
    for (const { lifetime } of this.#living.values()) {
      if (lifetime.endsAt !== undefined && lifetime.endsAt <= now) due.push(lifetime.id);
    }
    return due;
  }

  #leave(id: string, lifetime: string, end: ObjectEnd): T[] {
    const kept = this.#kept.get(id) as Kept<T>;
    kept.lifetimes.delete(lifetime);
    if (kept.lifetimes.size > 0) return [];
    this.#kept.delete(id);
    this.#ended(id, end);
    return [kept.value];
  }

  #ended(id: string, end: ObjectEnd): void {
    this.#ends.set(id, this.#ends.peek(id) ?? end);
  }

  #dropMember(lifetime: string, id: string): void {
    const living = this.#living.get(lifetime);
    living?.members.delete(id);
    if (living?.members.size === 0) this.#living.delete(lifetime);
  }
}
