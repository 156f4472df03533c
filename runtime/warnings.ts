// What Troupe tells the author of a program beside errors: Node's own warnings, so `--disable-warning=CODE` silences one kind,
// `process.on("warning")` hears them, and TROUPE_WARNINGS=off silences all.

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** Every kind; each is documented in docs/warnings.md. */
export type WarningCode =
  | "TROUPE_LARGE_CAPTURE" | "TROUPE_STALE_CAPTURE" | "TROUPE_REFERENCE_ONLY"
  | "TROUPE_GET_IN_LOOP" | "TROUPE_REPEATED_ARGUMENT" | "TROUPE_TINY_TASKS" | "TROUPE_ENDLESS_WAIT"
  | "TROUPE_OTHER_RESULT" | "TROUPE_NOT_KEPT" | "TROUPE_RETRY_UNDECIDED";

export function warn(code: WarningCode, text: string): void {
  if (process.env.TROUPE_WARNINGS !== "off") process.emitWarning(text, { type: "TroupeWarning", code });
}

const OWN = ["./", "../sdk/", "../dag/"].map((folder) => new URL(folder, import.meta.url).href);
const OWN_PATHS = OWN.map((url) => fileURLToPath(url));
const FRAMES = 30;
/** What no line of the user's calls: a graph's engine does by itself. */
export const NOWHERE = "a place that is not known";

/** Where the user's code called us, looked for when it is asked: `train.ts:12:9`. To be made in the call itself. */
export class CallSite {
  readonly #at: { readonly stack?: string };

  constructor() {
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = FRAMES;
    this.#at = {};
    Error.captureStackTrace(this.#at, CallSite);
    Error.stackTraceLimit = limit;
  }

  toString(): string {
    for (const line of (this.#at.stack ?? "").split("\n").slice(1)) {
      const place = /\(?((?:file:\/\/|\/|[A-Za-z]:[\\/])[^()]*:\d+:\d+)\)?$/.exec(line.trim())?.[1];
      if (place === undefined || isOwn(place) || /[ (]node:/.test(line)) continue;
      return shown(place);
    }
    return NOWHERE;
  }
}

function isOwn(place: string): boolean {
  return [...OWN, ...OWN_PATHS].some((folder) => place.startsWith(folder));
}

/** From the working folder, when it is in there. */
function shown(place: string): string {
  const [, file, position] = /^(.*?)(:\d+:\d+)$/.exec(place) as unknown as [string, string, string];
  const path = file.startsWith("file://") ? fileURLToPath(file) : file;
  const near = relative(process.cwd(), path);
  return `${near.startsWith("..") ? path : near}${position}`;
}
