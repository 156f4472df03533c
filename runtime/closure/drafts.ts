// Texts on their way into the payload. A draft is finished last, when it is known which module variables any of them writes.

import type { Analysis, Edit } from "./analyze.ts";
import { edited } from "./analyze.ts";
import type { Capture } from "./capture.ts";
import type { FunctionView, ScriptView } from "./inspector.ts";
import { COMPILED_MARK } from "./modules.ts";
import type { ClassNode, CodeText, FunctionNode, Position, Slot } from "./payload.ts";
import { refusal, type Trail } from "./refusal.ts";

export interface DraftName {
  readonly name: string;
  readonly slot: Slot;
  readonly written: boolean;
  /** Identity of a module's variable; undefined for one of a function. */
  readonly cell: string | undefined;
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
  readonly trail: Trail;
  readonly names: DraftName[];
  readonly edits: DraftEdit[];
}

const WRAPS = { expression: ["(", "\n)"], method: ["({", "\n})"], "private-method": ["(", ")"] } as const;

/** The node's code with names as captured; `finishDrafts` turns written module variables into cells. */
export function codeOf(draft: Draft, strict: boolean, position: Position): CodeText {
  const [before, after] = WRAPS[draft.analysis.wrap];
  const names = draft.names.map(({ name, slot }) => [name, slot] as const);
  return { before, text: edited(draft.text, draft.edits), after, strict, names, position };
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

/** File, line and column of the text's first character; V8's location is somewhere inside its head. */
export function positionOf(text: string, location: NonNullable<FunctionView["location"]>, script: ScriptView): Position {
  const starts = startsOf(script);
  const row = location.line - script.startLine;
  const offset = starts[row] + location.column - (row === 0 ? script.startColumn : 0);
  let start = script.source.lastIndexOf(text, offset);
  if (start < 0) start = offset;
  let line = row;
  while (line > 0 && starts[line] > start) line--;
  const column = start - starts[line] + (line === 0 ? script.startColumn : 0);
  return { file: script.url, line: line + script.startLine, column };
}

/** Makes cells of module variables that a captured function writes, and refuses to split shared variables of functions. */
export function finishDrafts(capture: Capture): void {
  const { drafts } = capture;
  refuseShared(drafts);
  const written = new Set<string>();
  for (const { names } of drafts) for (const one of names) if (one.written && one.cell !== undefined) written.add(one.cell);
  if (written.size === 0) return;
  const cells = new Map<string, number>();
  for (const draft of drafts) {
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
  }
}

function cellEdits({ analysis }: Draft, name: string, access: string): Edit[] {
  const places = analysis.names.get(name)?.places ?? [];
  return places.map(({ start, end, kind }) => ({
    start: start - analysis.shift,
    end: end - analysis.shift,
    text: kind === "shorthand" ? `${name}: ${access}` : kind === "callee" ? `(0,${access})` : access,
  }));
}

/**
 * V8 hands out copies of scopes, so that two closures share a variable can't be proven. That they don't is proven when anything
 * in the two copies differs.
 */
function refuseShared(drafts: readonly Draft[]): void {
  const seen = new Map<string, { draft: Draft; name: DraftName }[]>();
  for (const draft of drafts) {
    for (const name of draft.names) {
      if (name.scope === undefined || name.cell !== undefined) continue;
      const key = `${draft.script.scriptId}|${name.owner}|${name.name}`;
      const others = seen.get(key) ?? [];
      const { scope } = name;
      const clash = others.find((other) => (other.name.written || name.written) && isAlike(other.name.scope as object, scope));
      if (clash !== undefined) {
        throw refusal("CAPTURE_SHARED_MUTABLE",
          `it captures the variable "${name.name}" that two of its functions share and one of them changes`,
          { parent: draft.trail, step: name.name, variable: name.name },
          "keep the state in one object that both capture, in a class, or in an actor.");
      }
      seen.set(key, [...others, { draft, name }]);
    }
  }
}

function isAlike(a: object, b: object): boolean {
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.getOwnPropertyNames(left);
  if (keys.length !== Object.getOwnPropertyNames(right).length) return false;
  return keys.every((key) => key in right && Object.is(left[key], right[key]));
}
