// Texts on their way into the payload. A draft is finished last, when it is known which module variables any of them writes.

import type { Analysis, Edit } from "./analyze.ts";
import { edited } from "./analyze.ts";
import type { Capture } from "./capture.ts";
import type { FunctionView, ScriptView } from "./inspector.ts";
import { COMPILED_MARK } from "./modules.ts";
import { placesOfMoved } from "./moved-text.ts";
import type { ClassNode, CodeText, FunctionNode, Position, Slot } from "./payload.ts";
import type { Trail } from "./refusal.ts";
import { tellShared } from "./sharing.ts";
import { placesOf } from "./source-maps.ts";
import { fileOf } from "./stacks.ts";

export interface DraftName {
  readonly name: string;
  readonly slot: Slot;
  readonly written: boolean;
  /** Identity of a variable; undefined for one that no other captured function is known to share. */
  cell: string | undefined;
  /** The same for a variable that may exist several times. */
  group?: string;
  readonly scope: object | undefined;
  readonly owner: string;
}
export interface DraftEdit extends Edit {
  /** Line breaks of the replaced text are already in `text`. */
  readonly bracketed?: boolean;
}
export interface Draft {
  readonly index: number;
  /** The text that `analysis` describes. */
  readonly text: string;
  readonly analysis: Analysis;
  readonly script: ScriptView;
  /** Where the text begins in the script. */
  readonly offset: number;
  readonly trail: Trail;
  readonly names: DraftName[];
  readonly edits: DraftEdit[];
  readonly position: Position;
  /** What was done before to the text that V8 has: `text` is the result. */
  readonly prepared?: { readonly original: string; readonly edits: readonly Edit[] };
}

const WRAPS = { expression: ["(", "\n)"], method: ["({", "\n})"], "private-method": ["(", ")"] } as const;

/** The node's code with names as captured; `finishDrafts` turns written module variables into cells. */
export function codeOf(draft: Draft, strict: boolean): CodeText {
  const [before, after] = WRAPS[draft.analysis.wrap];
  const names = draft.names.map(({ name, slot }) => [name, slot] as const);
  return { before, text: edited(draft.text, draft.edits), after, strict, names, position: draft.position };
}

export function strictnessOf(analysis: Analysis, script: ScriptView): boolean {
  if (script.isModule || analysis.isStrict) return true;
  const start = script.source.startsWith(COMPILED_MARK) ? script.source.slice(COMPILED_MARK.length) : script.source;
  return /^(?:#!.*\n)?(?:\s|\/\/.*\n|\/\*[^]*?\*\/)*['"]use strict['"]/.test(start.slice(0, 4096));
}

const startsBySource = new Map<string, number[]>();

function startsOf(script: ScriptView): number[] {
  let starts = startsBySource.get(script.scriptId);
  if (starts === undefined) {
    starts = [0];
    for (let at = script.source.indexOf("\n"); at >= 0; at = script.source.indexOf("\n", at + 1)) starts.push(at + 1);
    startsBySource.set(script.scriptId, starts);
  }
  return starts;
}

/** Where the text's first character is in its file, and in what V8 has of it; V8's location is somewhere inside its head. */
export function placeOf(
  text: string, location: NonNullable<FunctionView["location"]>, script: ScriptView,
): { position: Position; offset: number } {
  const starts = startsOf(script);
  const row = location.line - script.startLine;
  const offset = offsetAt(script, location.line, location.column);
  const found = script.source.lastIndexOf(text, offset);
  const start = found < 0 ? offset : found;
  let line = row;
  while (line > 0 && starts[line] > start) line--;
  const column = start - starts[line] + (line === 0 ? script.startColumn : 0);
  return { position: { file: fileOf(script.url), line: line + script.startLine, column }, offset: start };
}

/** The offset of a place that V8 names by row and column, both from zero. */
export function offsetAt(script: ScriptView, line: number, column: number): number {
  const row = line - script.startLine;
  return (startsOf(script)[row] ?? 0) + column - (row === 0 ? script.startColumn : 0);
}

/** Makes cells of variables that captured functions share and write; what can't be proven to be one variable is refused. */
export function finishDrafts(capture: Capture): void {
  const { drafts } = capture;
  tellShared(drafts);
  const written = new Set<string>();
  for (const { names } of drafts) for (const one of names) if (one.written && one.cell !== undefined) written.add(one.cell);
  const edits = written.size === 0 ? new Map<Draft, readonly Edit[]>() : makeCells(capture, written);
  for (const draft of drafts) locate(capture, draft, edits.get(draft) ?? draft.edits);
}

/** The edits of all drafts that use cells, whose texts have them by then. */
function makeCells(capture: Capture, written: ReadonlySet<string>): Map<Draft, readonly Edit[]> {
  const all = new Map<Draft, readonly Edit[]>();
  const cells = new Map<string, number>();
  for (const draft of capture.drafts) {
    const shared = draft.names.filter((one) => one.cell !== undefined && written.has(one.cell));
    if (shared.length === 0) continue;
    const edits: Edit[] = [...draft.edits];
    const names = new Map<string, Slot>(draft.names.map(({ name, slot }) => [name, slot]));
    for (const { name, slot, cell } of shared) {
      let index = cells.get(cell as string);
      if (index === undefined) {
        index = capture.add({ k: "object", proto: [null], build: { as: "null" }, props: [{ key: "v", flags: 7, value: slot }] });
        cells.set(cell as string, index);
      }
      const local = `__troupe_${name}`;
      names.delete(name);
      names.set(local, index);
      edits.push(...cellEdits(draft, name, `${local}.v`));
    }
    const node = capture.nodes[draft.index] as FunctionNode | ClassNode;
    capture.nodes[draft.index] = { ...node, text: edited(draft.text, edits), names: [...names] };
    all.set(draft, edits);
  }
  return all;
}

function locate(capture: Capture, draft: Draft, edits: readonly Edit[]): void {
  const { original, edits: before } = draft.prepared ?? { original: draft.text, edits: [] };
  const places = placesOf(draft.script);
  if (before.length === 0 && edits.length === 0 && places === undefined) return;
  const node = capture.nodes[draft.index] as FunctionNode | ClassNode;
  const map = placesOfMoved({ original, position: draft.position, text: node.text, edits: [before, edits], places });
  if (map !== undefined) capture.nodes[draft.index] = { ...node, map };
}

function cellEdits({ analysis }: Draft, name: string, access: string): Edit[] {
  const places = analysis.names.get(name)?.places ?? [];
  return places.map(({ start, end, kind }) => ({
    start: start - analysis.shift,
    end: end - analysis.shift,
    text: kind === "shorthand" ? `${name}: ${access}` : kind === "callee" ? `(0,${access})` : access,
  }));
}
