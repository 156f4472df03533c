// What one function or class needs from around it, by its text. Analyses are kept by text: closures of one place share one.

import { createRequire } from "node:module";
import type * as Acorn from "acorn";
import { type Outer, outerOf, type Tree } from "./scope.ts";

export interface Analysis extends Outer {
  readonly kind: "function" | "class";
  /** What stands around the text to make it an expression. */
  readonly wrap: "expression" | "method" | "private-method";
  readonly tree: Tree;
  /** Start of the text inside of `tree`'s source: positions of the tree minus this are positions of the text. */
  readonly shift: number;
  /** A method whose key is computed: the range of the key with its brackets. */
  readonly computedKey: { readonly start: number; readonly end: number } | undefined;
  readonly isStrict: boolean;
  readonly isArrow: boolean;
}

const CACHE_MAX = 4096;
const cache = new Map<string, Analysis | undefined>();
let acorn: typeof Acorn | undefined;

function parser(): typeof Acorn {
  acorn ??= createRequire(import.meta.url)("acorn") as typeof Acorn;
  return acorn;
}

export function warmParser(): void {
  parser();
}

/** The tree of a whole module or script; undefined when it is in a syntax of a later release. */
export function parseSource(source: string, sourceType: "module" | "script"): Tree | undefined {
  try {
    const options = { ecmaVersion: "latest", sourceType, allowHashBang: true, allowReturnOutsideFunction: true } as const;
    return parser().parse(source, options) as unknown as Tree;
  } catch {
    return undefined;
  }
}

/** Undefined when the text is none of the forms that `Function.prototype.toString` gives. */
export function analyze(text: string): Analysis | undefined {
  if (cache.has(text)) return cache.get(text);
  const analysis = analyzeNow(text);
  if (cache.size >= CACHE_MAX) cache.clear();
  cache.set(text, analysis);
  return analysis;
}

function analyzeNow(text: string): Analysis | undefined {
  const asExpression = parse(`(${text}\n)`);
  if (asExpression !== undefined) return finish(asExpression, "expression", 1, undefined);
  const asMethod = parse(`({${text}\n})`);
  const property = (asMethod?.properties as Tree[] | undefined)?.[0];
  if (property !== undefined) return finish(property.value as Tree, "method", 2, property);
  const asPrivate = parse(`(class{${text}\n})`);
  const element = ((asPrivate?.body as Tree | undefined)?.body as Tree[] | undefined)?.[0];
  return element === undefined ? undefined : finish(element.value as Tree, "private-method", 7, element);
}

function parse(code: string): Tree | undefined {
  try {
    // Text of a module and of a script alike: `await` as a name is the only form lost.
    const program = parser().parse(code, {
      ecmaVersion: "latest", sourceType: "script", allowAwaitOutsideFunction: false, allowSuperOutsideMethod: true,
      allowImportExportEverywhere: true, checkPrivateFields: false,
    } as Acorn.Options) as unknown as { body: Tree[] };
    const statement = program.body[0];
    return program.body.length === 1 && statement.type === "ExpressionStatement" ? (statement.expression as Tree) : undefined;
  } catch {
    return undefined;
  }
}

function finish(tree: Tree, wrap: Analysis["wrap"], shift: number, holder: Tree | undefined): Analysis {
  const body = (tree.body as Tree).body as Tree[] | undefined;
  const key = holder?.computed === true ? (holder.key as Tree) : undefined;
  return {
    ...outerOf(tree),
    kind: tree.type === "ClassExpression" ? "class" : "function",
    wrap,
    tree,
    shift,
    computedKey: key === undefined ? undefined : { start: key.start - shift, end: key.end - shift },
    isStrict: tree.type === "ClassExpression" || (Array.isArray(body) && body.some((one) => one.directive === "use strict")),
    isArrow: tree.type === "ArrowFunctionExpression",
  };
}

/** Whether the instances of a class have private fields, methods or accessors. */
export function hasPrivateNames(text: string): boolean {
  const { tree } = analyze(text) ?? {};
  const elements = (tree?.body as Tree | undefined)?.body as Tree[] | undefined;
  return elements?.some((one) => one.static !== true && (one.key as Tree | undefined)?.type === "PrivateIdentifier") === true;
}

export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** The text with some ranges replaced. Line breaks are kept by the callers, so lines of errors stay right. */
export function edited(text: string, edits: readonly Edit[]): string {
  let result = "";
  let at = 0;
  for (const edit of [...edits].sort((a, b) => a.start - b.start || a.end - b.end)) {
    result += text.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return result + text.slice(at);
}
