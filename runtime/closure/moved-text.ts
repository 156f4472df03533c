// Where the parts of an edited text were before, so that errors in it name the places that people know.

import type { Edit } from "./analyze.ts";
import { type PlaceMap, PLACE_SIZE, placeBefore } from "./places.ts";
import type { Position } from "./payload.ts";

export interface MovedText {
  /** As it stands in its script. */
  readonly original: string;
  readonly position: Position;
  readonly text: string;
  /** What was done to the text, one list after the other. */
  readonly edits: readonly (readonly Edit[])[];
  /** Where the script's own text was made from. */
  readonly places: PlaceMap | undefined;
}

/** Undefined when every character is where it was written. */
export function placesOfMoved(moved: MovedText): PlaceMap | undefined {
  const { original, position, text, edits, places } = moved;
  const steps = edits.filter((list) => list.length > 0)
    .map((list) => [...list].sort((a, b) => a.start - b.start || a.end - b.end));
  if (steps.length === 0 && places === undefined) return undefined;
  const [from, to] = [new Lines(original, position), new Lines(text, position)];
  const found: number[] = [];
  const sources = new Map<number, number>();
  for (const offset of pointsOf(from, steps, places)) {
    const end = steps.reduce((at: number | undefined, list) => at === undefined ? at : forward(list, at), offset);
    if (end === undefined) continue;
    const [line, column] = from.placeAt(offset);
    if (places === undefined) {
      found.push(...to.placeAt(end), 0, line, column);
      continue;
    }
    const at = placeBefore(places, line, column);
    if (at < 0 || places.places[at] !== line) continue;
    const source = places.places[at + 2];
    if (!sources.has(source)) sources.set(source, sources.size);
    const moved = places.isExact ? column - places.places[at + 1] : 0;
    found.push(...to.placeAt(end), sources.get(source) as number, places.places[at + 3], places.places[at + 4] + moved);
  }
  const names = places === undefined ? [position.file] : [...sources.keys()].map((source) => places.sources[source]);
  return { sources: names, places: found, isExact: places?.isExact ?? true };
}

/** Offsets of the original text from which on its parts are moved together, in order. */
function pointsOf(from: Lines, steps: readonly (readonly Edit[])[], places: PlaceMap | undefined): number[] {
  const points = new Set<number>(from.starts);
  steps.forEach((list, depth) => {
    for (const { end } of list) {
      const offset = steps.slice(0, depth).reduceRight((at, before) => backward(before, at), end);
      points.add(offset);
    }
  });
  if (places !== undefined) {
    const last = from.placeAt(from.length);
    let at = Math.max(0, placeBefore(places, ...from.placeAt(0)));
    for (; at < places.places.length; at += PLACE_SIZE) {
      const [line, column] = [places.places[at], places.places[at + 1]];
      if (line > last[0] || (line === last[0] && column >= last[1])) break;
      const offset = from.offsetOf(line, column);
      if (offset >= 0) points.add(offset);
    }
  }
  return [...points].sort((a, b) => a - b);
}

/** Where an offset is after some edits; undefined inside of what they replaced. */
function forward(edits: readonly Edit[], offset: number): number | undefined {
  let moved = 0;
  for (const { start, end, text } of edits) {
    if (offset < end || (offset === end && offset < start)) return offset > start ? undefined : offset + moved;
    moved += text.length - (end - start);
  }
  return offset + moved;
}

function backward(edits: readonly Edit[], offset: number): number {
  let moved = 0;
  for (const { start, end, text } of edits) {
    if (offset < start + moved + text.length) break;
    moved += text.length - (end - start);
  }
  return offset - moved;
}

/** Lines of a text that begins at a position of its file. */
class Lines {
  readonly starts: readonly number[];
  readonly length: number;
  readonly #position: Position;

  constructor(text: string, position: Position) {
    const starts = [0];
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
    this.starts = starts;
    this.length = text.length;
    this.#position = position;
  }

  placeAt(offset: number): [line: number, column: number] {
    let row = 0;
    for (let high = this.starts.length; high - row > 1;) {
      const middle = (row + high) >> 1;
      if (this.starts[middle] <= offset) row = middle;
      else high = middle;
    }
    const column = offset - this.starts[row];
    return [this.#position.line + row, row === 0 ? this.#position.column + column : column];
  }

  offsetOf(line: number, column: number): number {
    const row = line - this.#position.line;
    return row < 0 ? -1 : this.starts[row] + column - (row === 0 ? this.#position.column : 0);
  }
}
