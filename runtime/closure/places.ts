// Places of a text in the sources that it was made from.

/** Places of a text and where they are in its sources, in the order of the text. Lines and columns count from zero. */
export interface PlaceMap {
  readonly sources: readonly string[];
  /** Five numbers a place: line, column, source, line and column there. */
  readonly places: readonly number[];
  /** Whether code runs on from a place in its source as it does in the text. */
  readonly isExact: boolean;
}
export interface Original {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export const PLACE_SIZE = 5;

/** The index, in `places`, of the last place that is not after a line and column; -1 when all are. */
export function placeBefore({ places }: PlaceMap, line: number, column: number): number {
  let low = 0;
  let high = places.length / PLACE_SIZE;
  while (low < high) {
    const middle = (low + high) >> 1;
    const at = middle * PLACE_SIZE;
    if (places[at] < line || (places[at] === line && places[at + 1] <= column)) low = middle + 1;
    else high = middle;
  }
  return (low - 1) * PLACE_SIZE;
}

export function originalOf(map: PlaceMap, line: number, column: number): Original | undefined {
  const at = placeBefore(map, line, column);
  if (at < 0 || map.places[at] !== line) return undefined;
  const [, from, source, originalLine, originalColumn] = map.places.slice(at, at + PLACE_SIZE);
  return { file: map.sources[source], line: originalLine, column: originalColumn + (map.isExact ? column - from : 0) };
}
