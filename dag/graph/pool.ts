// A pool: so many slots for all tasks that name it, whichever graph they are in.

import { InvalidArgumentError } from "../../sdk/index.ts";

export interface Pool {
  readonly name: string;
  readonly slots: number;
}

const pools = new Map<string, Pool>();

/** Makes a pool, or gives the one of that name and size. */
export function pool(name: string, slots: number): Pool {
  if (typeof name !== "string" || name === "") throw new InvalidArgumentError("pool: the name must be a non-empty string");
  if (!Number.isSafeInteger(slots) || slots < 1) {
    throw new InvalidArgumentError(`pool ${name}: slots must be a whole number of 1 or more, not ${String(slots)}`);
  }
  const made = { name, slots };
  pools.set(name, made);
  return made;
}

/** @throws InvalidArgumentError when there is none of that name. */
export function poolOf(named: Pool | string): Pool {
  if (typeof named !== "string") return named;
  const found = pools.get(named);
  if (found === undefined) throw new InvalidArgumentError(`pool ${named} is not known: make it with pool("${named}", slots)`);
  return found;
}
