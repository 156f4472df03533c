// Who may import whom: arrows point one way, and into a folder only through its public face.

import { posix } from "node:path";
import type { Problem, SourceFile } from "./source.ts";
import { lineAt } from "./source.ts";

const TESTS = 7;

/** Lower may not import higher; equals may. A file's layer is that of the longest prefix that fits. */
const LAYERS: readonly (readonly [prefix: string, layer: number])[] = [
  ["proto/", 0], ["native/", 0],
  ["runtime/", 1], ["scheduler/", 1],
  ["runtime/head/", 2], ["runtime/agent/", 2], ["runtime/worker/", 2], ["runtime/owner/", 2], ["runtime/driver/", 2],
  ["runtime/inprocess/", 2],
  ["sdk/", 3],
  ["dag/", 4],
  ["cli/", 5], ["dashboard/", 5],
  ["bench/", 6], ["examples/", 6], ["scripts/", 6],
  ["test/", TESTS], ["vitest.config.ts", TESTS],
];

/** What a folder may import beside itself, where the layer alone says too little. */
const ONLY: readonly (readonly [prefix: string, allowed: readonly string[]])[] = [
  ["scheduler/", []],
  ["native/", []],
  ["proto/", []],
  // Its own machines, and the names of errors.
  ["runtime/core/", ["runtime/errors.ts"]],
];

/** A unit is what has one public face: the folders of runtime/, and any other top-level folder. */
const UNIT_DEPTH_2 = /^runtime\/[^/]+\//;

/** Files that are read across folders by design: interfaces between the parts, without behaviour of their own. */
const CONTRACTS: ReadonlySet<string> = new Set([
  "runtime/transport/channel.ts", "runtime/transport/messages.ts", "runtime/store/store.ts",
]);

/** Second entry points of a unit, published under a name of their own. */
const ENTRIES: ReadonlySet<string> = new Set(["sdk/testing/index.ts", "dag/testing/index.ts"]);

export interface Import {
  readonly line: number;
  readonly specifier: string;
  readonly typeOnly: boolean;
  /** By import(), when that is reached. */
  readonly dynamic: boolean;
}

export function importsOf(file: SourceFile): Import[] {
  const found: Import[] = [];
  // Specifiers are strings, hence blank in `code`: matched in the text, and kept when the keyword is code.
  const pattern = /\b(import|export)\b(\s+type\b)?[^;"'`()]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;
  for (const match of file.text.matchAll(pattern)) {
    if (file.code[match.index] === " ") continue;
    found.push({
      line: lineAt(file.text, match.index), specifier: match[3] ?? match[4], typeOnly: match[2] !== undefined,
      dynamic: /^import\s*\(/.test(match[0]),
    });
  }
  return found;
}

export function layerProblems(file: SourceFile): Problem[] {
  const problems: Problem[] = [];
  for (const { line, specifier } of importsOf(file)) {
    if (!specifier.startsWith(".")) continue;
    const target = posix.normalize(posix.join(posix.dirname(file.path), specifier));
    const text = layerProblem(file.path, target);
    if (text !== undefined) problems.push({ path: file.path, line, text });
  }
  return problems;
}

function layerProblem(from: string, to: string): string | undefined {
  if (to.startsWith("../")) return `imports ${to}, which is outside the project`;
  if (layerOf(to) > layerOf(from)) return `imports ${to}, which lies above it`;
  // Tests look inside, and the configuration is part of them.
  if (layerOf(from) === TESTS || unitOf(from) === unitOf(to)) return undefined;
  for (const [prefix, allowed] of ONLY) {
    if (!from.startsWith(prefix) || to.startsWith(prefix) || allowed.includes(to)) continue;
    return `imports ${to}; ${prefix} imports only itself`;
  }
  return isFace(to) ? undefined : `imports ${to} past the index.ts of its folder`;
}

function isFace(path: string): boolean {
  // proto is data; the files directly in runtime/ are the contracts between its folders.
  if (path.startsWith("proto/") || /^runtime\/[^/]+$/.test(path) || CONTRACTS.has(path) || ENTRIES.has(path)) return true;
  return path === `${unitOf(path)}index.ts` || path.endsWith("/contract.ts");
}

function layerOf(path: string): number {
  let longest = "";
  let layer = TESTS;
  for (const [prefix, at] of LAYERS) {
    if (!path.startsWith(prefix) || prefix.length <= longest.length) continue;
    longest = prefix;
    layer = at;
  }
  return layer;
}

function unitOf(path: string): string {
  return UNIT_DEPTH_2.exec(path)?.[0] ?? /^[^/]+\//.exec(path)?.[0] ?? path;
}
