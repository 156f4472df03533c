// Which file an offset of the store lies in: the memory, or beyond all of its pages the overflow on disk.

import { overflowPageOf, PAGE } from "./layout.ts";
import type { StoreGrant } from "./store.ts";

export interface StorePlace {
  readonly path: string;
  readonly offset: number;
}

export function placeOf(
  { path, capacity, overflow }: Pick<StoreGrant, "path" | "capacity" | "overflow">, offset: number,
): StorePlace {
  const base = overflowPageOf(capacity) * PAGE;
  return offset < base ? { path, offset } : { path: overflow, offset: offset - base };
}
