// Where the code of a script was written: in files that a loader or bundler made it from. Known when source maps are enabled.

import { findSourceMap } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { ScriptView } from "./inspector.ts";
import type { PlaceMap } from "./places.ts";
import { compiledPlaces } from "./stacks.ts";

const VLQ = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const known = new Map<string, PlaceMap | undefined>();

/** Undefined for a script that is its own source. */
export function placesOf(script: ScriptView): PlaceMap | undefined {
  const { scriptId, url } = script;
  if (!known.has(scriptId)) known.set(scriptId, compiledPlaces(url) ?? decoded(script));
  return known.get(scriptId);
}

function decoded({ url, source }: ScriptView): PlaceMap | undefined {
  const path = url.startsWith("file:") ? fileURLToPath(url) : url;
  const { sources, mappings } = findSourceMap(path)?.payload ?? ofVite(source) ?? {};
  if (sources === undefined || mappings === undefined || sources.length === 0) return undefined;
  const base = pathToFileURL(path).href;
  return { sources: sources.map((name) => new URL(name, base).href), places: placesIn(mappings), isExact: false };
}

const VITE = /\/\/# sourceMappingSource=vite[^]*\/\/# sourceMappingURL=data:application\/json[^,]*;base64,([\w+/=]+)/;
const MAP_AT_MOST = 32 << 20;

/** Test runners that evaluate modules themselves put the map at the end of the text, and Node doesn't know of it. */
function ofVite(source: string): { sources: string[]; mappings: string } | undefined {
  const at = source.lastIndexOf("//# sourceMappingSource=");
  const [, data] = (at < 0 || source.length - at > MAP_AT_MOST ? undefined : VITE.exec(source.slice(at))) ?? [];
  return data === undefined ? undefined : (JSON.parse(Buffer.from(data, "base64").toString()) as ReturnType<typeof ofVite>);
}

function placesIn(mappings: string): number[] {
  const places: number[] = [];
  const at = [0, 0, 0, 0];
  for (const [line, row] of mappings.split(";").entries()) {
    at[0] = 0;
    for (const segment of row.split(",")) {
      const deltas = numbersIn(segment);
      for (const [index, delta] of deltas.slice(0, at.length).entries()) at[index] += delta;
      // A segment of one number is code that nobody wrote.
      if (deltas.length >= at.length) places.push(line, ...at);
    }
  }
  return places;
}

function numbersIn(segment: string): number[] {
  const numbers: number[] = [];
  let value = 0;
  let shift = 0;
  for (const char of segment) {
    const digit = VLQ.indexOf(char);
    value += (digit & 31) << shift;
    shift += 5;
    if ((digit & 32) !== 0) continue;
    numbers.push((value & 1) === 0 ? value >> 1 : -(value >> 1));
    value = 0;
    shift = 0;
  }
  return numbers;
}
