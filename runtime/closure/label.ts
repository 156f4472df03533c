// How people know a function: its name, or that of the variable it was given to, and where it was written.

import type { Draft } from "./drafts.ts";
import { originalOf, type PlaceMap } from "./places.ts";
import type { Position } from "./payload.ts";

export interface Label {
  /** A name, or the place for what has none. */
  readonly name: string;
  /** `job (train.ts:41:17)` */
  readonly text: string;
}

export function labelOf(name: string, position: Position | undefined, map: PlaceMap | undefined): Label {
  if (position === undefined) return { name: name || "anonymous", text: name || "anonymous" };
  const place = shown((map && originalOf(map, position.line, position.column)) ?? position);
  return name === "" ? { name: place, text: place } : { name, text: `${name} (${place})` };
}

/** The label that came with code. */
export function labelFrom(text: string): Label {
  return { name: text.replace(/ \([^()]*:\d+:\d+\)$/, ""), text };
}

/** Compilers call imports as `(0, module.remote)(`. */
const CALL = String.raw`(?:await\s+)?(?:[\w$.]+(?:<[^;]*>)?|\(0,\s*[\w$.]+\))\(\s*$`;
const VARIABLE = new RegExp(String.raw`(?:\b(?:const|let|var)\s+([\w$]+)\s*(?::[^=;]*)?=|([\w$]+)\s*[:=])\s*${CALL}`);
const LOOKED_AT = 200;

/** `job` of `const job = remote(() => …)`. */
export function variableBefore({ script, offset }: Pick<Draft, "script" | "offset">): string {
  const match = VARIABLE.exec(script.source.slice(Math.max(0, offset - LOOKED_AT), offset));
  return match?.[1] ?? match?.[2] ?? "";
}

/** `train.ts:41:17`, counted from one as editors do. */
function shown({ file, line, column }: Position): string {
  return `${file.slice(file.lastIndexOf("/") + 1)}:${line + 1}:${column + 1}`;
}
