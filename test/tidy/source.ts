// Reads the project's own sources, and TypeScript text as code without comments and strings.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface SourceFile {
  /** Relative to the root, with forward slashes. */
  readonly path: string;
  readonly text: string;
  /** The same lines and columns; what is in comments, strings and regular expressions is blanked. */
  readonly code: string;
}

export interface Problem {
  readonly path: string;
  readonly line: number;
  readonly text: string;
}

const SKIPPED = new Set(["node_modules", "dist", ".git", ".setup", ".venv", "build", "prebuilds"]);
/** Generated; scripts/generate-proto.mjs --check holds it to its source. */
const GENERATED = "proto/generated/";

export function filesUnder(folder: string, extension: RegExp): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) found.push(...filesUnder(path, extension));
    } else if (extension.test(entry.name) && !path.startsWith(GENERATED)) {
      found.push(path);
    }
  }
  return found.sort();
}

export function readSource(path: string): SourceFile {
  return sourceOf(path, readFileSync(join(ROOT, path), "utf8"));
}

export function sourceOf(path: string, text: string): SourceFile {
  return { path, text, code: codeOf(text) };
}

/** A line number for people. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

/** Everything a pattern finds in the code, as problems. */
export function findAll(file: SourceFile, pattern: RegExp, text: (match: RegExpMatchArray) => string): Problem[] {
  return [...file.code.matchAll(pattern)].map((match) => {
    return { path: file.path, line: lineAt(file.code, match.index), text: text(match) };
  });
}

const REGEX_MAY_FOLLOW = /(^|[=(,:;!&|?{}[+\-*%~^<>\n]|\b(return|typeof|case|in|of|do|else|void|yield|await))\s*$/;

/** Blanks comments, strings, templates and regular expressions, and keeps what is inside `${}`. */
export function codeOf(text: string): string {
  const out: string[] = [];
  const blank = (from: number, to: number): void => void out.push(text.slice(from, to).replace(/[^\n]/g, " "));
  /** Brace depth at which each open template goes on. */
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at, at + 2);
    const char = rest[0];
    let end = at + 1;
    if (rest === "//") end = indexOr(text, "\n", at);
    else if (rest === "/*") end = indexOr(text, "*/", at + 2) + 2;
    else if (char === '"' || char === "'") end = endOfString(text, at, char);
    else if (char === "`" || (char === "}" && templates.at(-1) === depth)) {
      if (char === "}") templates.pop();
      end = endOfTemplate(text, at + 1);
      if (text.startsWith("${", end - 2) && text[end - 1] === "{") templates.push(depth);
    } else if (char === "/" && REGEX_MAY_FOLLOW.test(text.slice(Math.max(0, at - 80), at))) end = endOfRegex(text, at);
    else {
      if (char === "{") depth += 1;
      if (char === "}") depth -= 1;
      out.push(char);
      at = end;
      continue;
    }
    blank(at, Math.min(end, text.length));
    at = end;
  }
  return out.join("");
}

function indexOr(text: string, found: string, from: number): number {
  const at = text.indexOf(found, from);
  return at < 0 ? text.length : at;
}

function endOfString(text: string, at: number, quote: string): number {
  for (let end = at + 1; end < text.length; end += 1) {
    if (text[end] === "\\") end += 1;
    else if (text[end] === quote || text[end] === "\n") return end + 1;
  }
  return text.length;
}

/** After the closing backtick, or after the "${" that opens an expression. */
function endOfTemplate(text: string, from: number): number {
  for (let end = from; end < text.length; end += 1) {
    if (text[end] === "\\") end += 1;
    else if (text[end] === "`") return end + 1;
    else if (text.startsWith("${", end)) return end + 2;
  }
  return text.length;
}

function endOfRegex(text: string, at: number): number {
  let inClass = false;
  for (let end = at + 1; end < text.length; end += 1) {
    if (text[end] === "\\") end += 1;
    else if (text[end] === "[") inClass = true;
    else if (text[end] === "]") inClass = false;
    else if (text[end] === "\n" || (text[end] === "/" && !inClass)) return end + 1;
  }
  return text.length;
}
