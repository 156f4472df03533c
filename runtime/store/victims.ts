// Which objects leave the memory so that a request finds room.
//
// Pure. Free pages help only where they lie together, so a place is chosen and what is in it: of all places that hold nothing
// but free pages and objects that nobody reads, the one whose latest use is longest ago.

import type { StoreMap, StoreUnit } from "./store.ts";

export interface RoomNeed {
  readonly pages: number;
  /** The place begins at a multiple of so many pages. */
  readonly align: number;
}

interface Segment {
  readonly start: number;
  readonly end: number;
  /** Undefined for free pages. */
  readonly unit: StoreUnit | undefined;
}

/** Empty when there is room already; undefined when no place can be made free. */
export function chooseVictims(map: StoreMap, need: RoomNeed): StoreUnit[] | undefined {
  const segments = segmentsOf(map);
  let best: { readonly units: StoreUnit[]; readonly cost: readonly [number, number] } | undefined;
  for (let first = 0; first < segments.length; first += 1) {
    const start = startIn(segments[first], need);
    const units = start === undefined ? undefined : unitsFrom(segments, first, start, start + need.pages);
    if (units === undefined) continue;
    const cost = costOf(units);
    if (best === undefined || cost[0] < best.cost[0] || (cost[0] === best.cost[0] && cost[1] < best.cost[1])) {
      best = { units, cost };
    }
  }
  return best?.units;
}

/** Those that were used longest ago, of so many pages together; none that is among `except`. */
export function oldestUnits(map: StoreMap, pages: number, except: readonly StoreUnit[]): StoreUnit[] {
  const chosen: StoreUnit[] = [];
  let left = pages;
  const movable = map.units.filter((unit) => unit.objects !== undefined && !except.includes(unit));
  for (const unit of movable.sort((one, other) => one.usedAt - other.usedAt)) {
    if (left <= 0) break;
    chosen.push(unit);
    left -= unit.pages;
  }
  return chosen;
}

/** By address. What is neither a unit nor free is in nobody's reach, and leaves a hole between segments. */
function segmentsOf({ units, gaps }: StoreMap): Segment[] {
  const segments: Segment[] = gaps.map(({ start, pages }) => ({ start, end: start + pages, unit: undefined }));
  for (const unit of units) {
    if (unit.objects !== undefined) segments.push({ start: unit.firstPage, end: unit.firstPage + unit.pages, unit });
  }
  return segments.sort((one, other) => one.start - other.start);
}

/** Where a place may begin there: as early as can be, because any later one takes as much with it, and more behind it. */
function startIn({ start, end }: Segment, { align }: RoomNeed): number | undefined {
  const earliest = Math.ceil(start / align) * align;
  return earliest < end ? earliest : undefined;
}

function unitsFrom(segments: readonly Segment[], first: number, start: number, end: number): StoreUnit[] | undefined {
  const units: StoreUnit[] = [];
  let reached = start;
  for (let index = first; reached < end; index += 1) {
    const segment = segments[index];
    if (segment === undefined || segment.start > reached) return undefined;
    if (segment.unit !== undefined) units.push(segment.unit);
    reached = segment.end;
  }
  return units;
}

function costOf(units: readonly StoreUnit[]): [latest: number, pages: number] {
  let latest = 0;
  let pages = 0;
  for (const unit of units) {
    latest = Math.max(latest, unit.usedAt);
    pages += unit.pages;
  }
  return [latest, pages];
}
