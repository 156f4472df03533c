// What an attempt is given: a structure in which results of other tasks are held by handles, and read where it runs.
//
// The engine only moves handles about. Elements are picked, lists mapped and zipped on the worker, from the values there.

import { describeValue } from "../../sdk/contract.ts";
import { InvalidArgumentError } from "../../sdk/index.ts";
import { mapStructure } from "../graph/structure.ts";

/** A result, by what its runner gave for it. */
export class Held {
  readonly handle: unknown;
  constructor(handle: unknown) {
    this.handle = handle;
  }
}

/** Element `key` of what `of` is: of a list by its index, of a set of arguments by its name. */
export class Element {
  readonly of: unknown;
  readonly key: number | string;
  constructor(of: unknown, key: number | string) {
    this.of = of;
    this.key = key;
  }
}

/** `fn` of a value. With `each` of each element of a list. */
export class Mapped {
  readonly of: unknown;
  readonly fn: (value: never) => unknown;
  readonly each: boolean;
  constructor(of: unknown, fn: (value: never) => unknown, each: boolean) {
    this.of = of;
    this.fn = fn;
    this.each = each;
  }
}

export class Zipped {
  readonly lists: readonly unknown[];
  readonly fill: { readonly value: unknown } | undefined;
  constructor(lists: readonly unknown[], fill: { readonly value: unknown } | undefined) {
    this.lists = lists;
    this.fill = fill;
  }
}

interface SetParts {
  readonly set: unknown;
  readonly name: string;
  /** All that the task takes. */
  readonly names: readonly string[];
  readonly rest: readonly unknown[];
  readonly what: string;
}

/** An argument by its name: of a set of them, or of the rest, which fills in order what the set has not. */
export class OfSet {
  readonly parts: SetParts;
  constructor(parts: SetParts) {
    this.parts = parts;
  }
}

/** Thrown by `.map` functions, and by ctx().skip(). */
export class SkipSignal {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

type Input = Held | Element | Mapped | Zipped | OfSet;

const INPUTS = [Held, Element, Mapped, Zipped, OfSet];
const isInput = (value: unknown): value is Input => INPUTS.some((type) => value instanceof type);

/** The same structure with `replace` of what is held. */
export function replaceHeld(input: unknown, replace: (held: Held) => Held): unknown {
  const again = (inner: unknown): unknown => replaceHeld(inner, replace);
  return mapStructure(input, (leaf) => {
    if (leaf instanceof Held) return replace(leaf);
    if (leaf instanceof Element) return new Element(again(leaf.of), leaf.key);
    if (leaf instanceof Mapped) return new Mapped(again(leaf.of), leaf.fn, leaf.each);
    if (leaf instanceof Zipped) return new Zipped(leaf.lists.map(again), leaf.fill);
    if (leaf instanceof OfSet) return new OfSet({ ...leaf.parts, set: again(leaf.parts.set), rest: leaf.parts.rest.map(again) });
    return leaf;
  });
}

/** The value itself, where the handles' values are at hand. @throws SkipSignal where a mapped element is left out. */
export async function evaluate(input: unknown, valueOf: (handle: unknown) => unknown): Promise<unknown> {
  const values = new Map<unknown, unknown>();
  mapStructure(input, (leaf) => {
    if (isInput(leaf)) values.set(leaf, undefined);
    return leaf;
  });
  // Most values have no inputs in them, and keep their identity.
  if (values.size === 0) return input;
  await Promise.all([...values.keys()].map(async (one) => values.set(one, await evaluateOne(one as Input, valueOf))));
  return mapStructure(input, (leaf) => (isInput(leaf) ? values.get(leaf) : leaf));
}

async function evaluateOne(input: Input, valueOf: (handle: unknown) => unknown): Promise<unknown> {
  if (input instanceof Held) return valueOf(input.handle);
  if (input instanceof Element) {
    const of = (await evaluate(input.of, valueOf)) as Record<string | number, unknown>;
    return of[input.key];
  }
  if (input instanceof OfSet) return evaluate(await pick(input.parts, valueOf), valueOf);
  if (input instanceof Zipped) {
    const lists = (await Promise.all(input.lists.map((list) => evaluate(list, valueOf)))) as (readonly unknown[])[];
    const length = zippedLength(lists.map((list) => list.length), input.fill !== undefined);
    return Array.from({ length }, (_, i) => lists.map((list) => (i < list.length ? list[i] : input.fill?.value)));
  }
  const of = await evaluate(input.of, valueOf);
  if (!input.each) return input.fn(of as never);
  const mapped: unknown[] = [];
  for (const element of of as readonly unknown[]) {
    try {
      mapped.push(await input.fn(element as never));
    } catch (error) {
      if (!(error instanceof SkipSignal)) throw error;
    }
  }
  return mapped;
}

async function pick({ set: from, name, names, rest, what }: SetParts, valueOf: (handle: unknown) => unknown): Promise<unknown> {
  const set = isInput(from) ? await evaluate(from, valueOf) : from;
  if (typeof set !== "object" || set === null)
    throw new InvalidArgumentError(`${what} is expanded over sets of arguments by name, { x: 1 }; this is ${describeValue(set)}`);
  const unknown = Object.keys(set).find((one) => !names.includes(one));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`${what} has no parameter ${unknown}; it has ${names.join(", ") || "none"}`);
  if (Object.hasOwn(set, name)) return (set as Record<string, unknown>)[name];
  return rest[names.filter((one) => !Object.hasOwn(set, one)).indexOf(name)];
}

export function zippedLength(lengths: readonly number[], filled: boolean): number {
  if (lengths.length === 0) return 0;
  return filled ? Math.max(...lengths) : Math.min(...lengths);
}

/** Element `index` of a list that may not be at hand. */
export function elementOf(list: unknown, index: number): unknown {
  if (Array.isArray(list)) return list[index];
  if (list instanceof Mapped && list.each) return new Mapped(elementOf(list.of, index), list.fn, false);
  if (list instanceof Zipped) {
    return list.lists.map((one) => (Array.isArray(one) && index >= one.length ? list.fill?.value : elementOf(one, index)));
  }
  return new Element(list, index);
}

/** How long a list is; `ask` where only its value tells. */
export async function lengthOf(list: unknown, ask: (held: unknown) => Promise<number>): Promise<number> {
  if (Array.isArray(list)) return list.length;
  if (list instanceof Mapped && list.each) return lengthOf(list.of, ask);
  if (list instanceof Zipped) {
    return zippedLength(await Promise.all(list.lists.map((one) => lengthOf(one, ask))), list.fill !== undefined);
  }
  return ask(list);
}
