// Rules about the text of one file. Each takes a file and returns what is wrong with it.

import { importsOf } from "./layers.ts";
import { findAll, type Problem, type SourceFile } from "./source.ts";

export const LINES_MAX = 500;
export const FUNCTION_LINES_MAX = 70;
export const COLUMNS_MAX = 130;

/** Folders that decide and never act. */
const PURE = /^(runtime\/core|scheduler)\//;
const CLOCKS = /(?<![.\w$#])(setTimeout|setInterval|Date\.now|Math\.random|performance\.now)\b/g;
const IMPURE = new RegExp(
  "(?<![.\\w$#])(setTimeout|setInterval|setImmediate|queueMicrotask|Date\\.now|new Date|Math\\.random|performance"
    + "|process\\.(?:env|exit|pid|argv|hrtime|nextTick|memoryUsage|std\\w+|cwd|kill|uptime|on))\\b", "g",
);

/** Where runtime/ may use the real clock, and why. Everywhere else it comes through runtime/seams.ts. */
const CLOCK_USERS: ReadonlyMap<string, string> = new Map([
  ["runtime/system.ts", "is the real clock, timers and randomness behind the seams"],
  ["runtime/lifeline.ts", "only real programs have a lifeline, and a timer is what keeps one alive"],
  ["runtime/store/shared-client.ts", "tells the real host that this loop turns; the simulation has the local store"],
  ["runtime/spawner.ts", "belongs to the system side: real processes do not live in virtual time"],
]);

export function pureProblems(file: SourceFile): Problem[] {
  if (!PURE.test(file.path)) return [];
  const problems = findAll(file, IMPURE, ([found]) => `${found} in a pure folder; take it as an argument or an event`);
  for (const { line, specifier } of importsOf(file)) {
    if (!specifier.startsWith(".")) problems.push({ path: file.path, line, text: `imports ${specifier} in a pure folder` });
  }
  return problems;
}

export function clockProblems(file: SourceFile): Problem[] {
  if (!file.path.startsWith("runtime/") || PURE.test(file.path) || CLOCK_USERS.has(file.path)) return [];
  return findAll(file, CLOCKS, ([found]) => `${found}; use the clock and randomness of runtime/seams.ts`);
}

export function sizeProblems(file: SourceFile): Problem[] {
  const lines = file.text.replace(/\n$/, "").split("\n");
  const problems: Problem[] = [];
  if (lines.length > LINES_MAX) problems.push({ path: file.path, line: 1, text: `${lines.length} lines; at most ${LINES_MAX}` });
  lines.forEach((line, index) => {
    // Characters, not UTF-16 units.
    const columns = [...line].length;
    if (columns <= COLUMNS_MAX) return;
    problems.push({ path: file.path, line: index + 1, text: `${columns} columns; at most ${COLUMNS_MAX}` });
  });
  for (const { line, length } of functionsOf(file)) {
    if (length > FUNCTION_LINES_MAX) {
      problems.push({ path: file.path, line, text: `a function of ${length} lines; at most ${FUNCTION_LINES_MAX}` });
    }
  }
  return problems;
}

const METHOD_START = /^\s+(?:[\w]+\s+)*\*?(?:#?[\w$]+|\[[^\]]+\])(?:<[^(]*>)?\((?!.*=>).*[{(,]\s*$/;
const FUNCTION_START = new RegExp(`\\bfunction\\b|=>\\s*\\{\\s*$|${METHOD_START.source}`);
const STATEMENT = /^\s*(?:\}\s*)?(?:if|else|for|while|switch|catch|return|await|do|throw|new)\b/;
const SUITE = /^\s*(?:describe|suite)(?:\.\w+)?\(/;

/** Functions by indentation: from the line that starts one to the next line of the same indentation that closes it. */
export function functionsOf(file: SourceFile): { readonly line: number; readonly length: number }[] {
  const lines = file.code.split("\n");
  const found: { line: number; length: number }[] = [];
  lines.forEach((line, index) => {
    if (!FUNCTION_START.test(line) || STATEMENT.test(line) || SUITE.test(line)) return;
    const indent = /^\s*/.exec(line)?.[0] ?? "";
    const closing = new RegExp(`^${indent}\\}`);
    for (let end = index + 1; end < lines.length; end += 1) {
      if (closing.test(lines[end])) {
        found.push({ line: index + 1, length: end - index + 1 });
        return;
      }
      // Something else began at this depth: the match was a call or a signature without a body.
      if (lines[end].startsWith(indent) && /^[\w#@/]/.test(lines[end].slice(indent.length))) return;
    }
  });
  return found;
}

export function exportProblems(file: SourceFile): Problem[] {
  // Vitest wants its configuration as a default export.
  const wanted = file.path === "vitest.config.ts";
  const pattern = /\bexport\s+default\b|\bas\s+default\b/g;
  return wanted ? [] : findAll(file, pattern, () => "a default export; name it");
}

const ANY_TYPE = /(?:[:<|&,(]|=>|\bas|\bextends|=)\s*any\b(?!\s*[:(=.])|\bany\[\]/;

/** `any` in what an export promises. Bodies and #private members are the file's own business. */
export function anyProblems(file: SourceFile): Problem[] {
  const problems: Problem[] = [];
  let exported: "all" | "members" | "head" | undefined;
  file.code.split("\n").forEach((line, index) => {
    if (/^\S/.test(line) && !/^[})\]]/.test(line)) exported = exportKind(line);
    const member = /^ {2}[^\s#}]/.test(line) && !/^ {2}private\b/.test(line);
    const promised = exported === "members" ? member || /^\S/.test(line) : exported !== undefined;
    if (promised && ANY_TYPE.test(line)) {
      problems.push({ path: file.path, line: index + 1, text: "`any` in an exported signature" });
    }
    if (exported === "head" && /[{;]\s*$/.test(line)) exported = undefined;
  });
  return problems;
}

/** A list of names passes on what is declared, and looked at, elsewhere. */
function exportKind(line: string): "all" | "members" | "head" | undefined {
  if (!/^export\b(?!\s*(?:type\s*)?\{)/.test(line)) return undefined;
  if (/^export\s+(declare\s+)?(interface|type)\b/.test(line)) return "all";
  return /^export\s+(abstract\s+)?class\b/.test(line) ? "members" : "head";
}

// Written apart, so that this file does not find itself.
const LEFTOVER = new RegExp(`\\b(${["TO" + "DO", "FIX" + "ME", "X" + "XX"].join("|")})\\b`);

export function leftoverProblems(file: SourceFile): Problem[] {
  const problems: Problem[] = [];
  file.text.split("\n").forEach((line, index) => {
    const found = LEFTOVER.exec(line);
    if (found !== null) problems.push({ path: file.path, line: index + 1, text: `${found[1]}: do it or leave it` });
  });
  problems.push(...findAll(file, /\bcatch\s*(?:\([^)]*\)\s*)?\{\s*\}/g, () => "an empty catch").filter(({ line }) => {
    // A comment that says why is not empty.
    return !/\bcatch\b[^\n]*\{\s*(?:\n\s*)?\/[/*]/.test(file.text.split("\n").slice(line - 1, line + 1).join("\n"));
  }));
  return problems;
}

export function testProblems(file: SourceFile): Problem[] {
  if (!file.path.startsWith("test/")) return [];
  const pattern = /\b(?:test|it|describe|suite)(?:\.\w+)*\.(only|skip|todo)\b/g;
  return findAll(file, pattern, (match) => `.${match[1]}; a test that cannot run here calls context.skip with its reason`);
}

export function nameProblems(path: string): Problem[] {
  const problems: Problem[] = [];
  for (const part of path.split("/")) {
    const stem = part.replace(/\..*$/, "");
    if (/^(.*-)?utils?$/.test(stem)) problems.push({ path, line: 1, text: `${part}: name it after what it does` });
    if (stem === "" || /^[a-z0-9]+(-[a-z0-9]+)*$/.test(stem)) continue;
    problems.push({ path, line: 1, text: `${part}: names are kebab-case` });
  }
  return problems;
}
