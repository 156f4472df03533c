// Stacks of errors in revived code show where it was written. Texts that were edited on their way, or that a loader had made from
// something else, have names of their own here; what formats a stack replaces them by file, line and column of the source.

import { createHash } from "node:crypto";
import { originalOf, type PlaceMap } from "./places.ts";

const MARK = "?troupe=";
const maps = new Map<string, PlaceMap>();

/** The name under which a text is compiled so that its frames can be told from those of all others. */
export function compiledName(file: string, text: string, map: PlaceMap | undefined): string {
  if (map === undefined) return file;
  const hash = createHash("sha256").update(JSON.stringify(map.places)).update(text).digest("hex").slice(0, 12);
  const name = `${file}${MARK}${hash}`;
  maps.set(name, map);
  mapFrames();
  return name;
}

export function compiledPlaces(name: string): PlaceMap | undefined {
  return maps.get(name);
}

/** The file that a text is from. */
export function fileOf(url: string): string {
  const at = url.indexOf(MARK);
  return at < 0 ? url : url.slice(0, at);
}

/** Whatever formats stacks in this process gets frames with places that people know. */
let isMapping = false;
function mapFrames(): void {
  if (isMapping) return;
  isMapping = true;
  const format = Error.prepareStackTrace ?? plainly;
  Error.prepareStackTrace = (error, sites): unknown => format(error, sites.map(mapped));
}

function plainly(error: Error, sites: NodeJS.CallSite[]): string {
  return [Error.prototype.toString.call(error), ...sites.map((site) => `    at ${String(site)}`)].join("\n");
}

function mapped(site: NodeJS.CallSite): NodeJS.CallSite {
  const name = site.getScriptNameOrSourceURL();
  const map = maps.get(name ?? "");
  const [line, column] = [site.getLineNumber(), site.getColumnNumber()];
  if (!name || map === undefined || line === null || column === null) return site;
  const original = originalOf(map, line - 1, column - 1) ?? { file: fileOf(name), line: line - 1, column: column - 1 };
  const text = String(site).replace(`${name}:${line}:${column}`, `${original.file}:${original.line + 1}:${original.column + 1}`);
  const own: Readonly<Record<PropertyKey, () => unknown>> = {
    getFileName: () => original.file,
    getScriptNameOrSourceURL: () => original.file,
    getLineNumber: () => original.line + 1,
    getColumnNumber: () => original.column + 1,
    toString: () => text,
  };
  const get = (target: NodeJS.CallSite, key: PropertyKey): unknown => {
    const value: unknown = Object.hasOwn(own, key) ? own[key] : Reflect.get(target, key);
    return typeof value === "function" ? (value.bind(target) as unknown) : value;
  };
  return new Proxy(site, { get });
}
