// Which declaration of a script a name means at a place in it.

import { parseSource } from "./analyze.ts";
import type { ScriptView } from "./inspector.ts";
import { declared, namesOf, type Tree } from "./scope.ts";

export interface Binding {
  /** Whether it exists once: no loop is around it, and no function that could be called again. */
  readonly isSingle: boolean;
  /** The code in which it is visible. */
  readonly start: number;
  readonly end: number;
  /** Where it has its value; undefined for what has one from the start. */
  readonly setAt: number | undefined;
}

let last: { readonly scriptId: string; readonly tree: Tree | undefined } | undefined;

/** Trees of whole scripts are large: only the last one is kept. */
function treeOf(script: ScriptView): Tree | undefined {
  if (last?.scriptId !== script.scriptId) {
    last = { scriptId: script.scriptId, tree: parseSource(script.source, script.isModule ? "module" : "script") };
  }
  return last.tree;
}

/** The binding of a name that the code at `offset` has from around it. */
export function bindingOf(script: ScriptView, offset: number, name: string): Binding | undefined {
  const around: Tree[] = [];
  let at = treeOf(script);
  while (at !== undefined) {
    around.unshift(at);
    at = children(at).find(({ start, end }) => start <= offset && offset < end);
    if (at?.start === offset && /Function|^Class/.test(at.type)) break;
  }
  for (const [depth, scope] of around.entries()) {
    const names = new Set<string>();
    collect(scope, names);
    if (!names.has(name)) continue;
    const { start, end } = scope;
    return { isSingle: isSingle(around.slice(depth)), start, end, setAt: setAt(scope, name) };
  }
  return undefined;
}

/** Whether the first of nested nodes, innermost first, runs once: so does a nameless function that is called where it stands. */
function isSingle(around: readonly Tree[]): boolean {
  return around.every((node, depth) => {
    if (/^(?:For|While|DoWhile)/.test(node.type)) return false;
    if (!/Function/.test(node.type)) return true;
    const call = around[depth + 1];
    return !node.id && node.generator !== true && call?.type === "CallExpression" && call.callee === node;
  });
}

function children(node: Tree): Tree[] {
  return Object.values(node).flat().filter((value): value is Tree => (
    typeof value === "object" && value !== null && typeof (value as Tree).type === "string"
  ));
}

/** Names that a node declares for what is inside of it. */
function collect(scope: Tree, names: Set<string>): void {
  const { body, params, id } = scope as { body?: unknown; params?: Tree[]; id?: Tree | null };
  for (const parameter of params ?? []) namesOf(parameter, names);
  if (/Function|^Class/.test(scope.type) && id) names.add(id.name as string);
  if (scope.type === "CatchClause") namesOf(scope.param as Tree | null, names);
  for (const head of [scope.init, scope.left] as (Tree | undefined)[]) {
    if (head?.type === "VariableDeclaration") declared([head], names, false);
  }
  const isFunction = /Function/.test(scope.type);
  if (isFunction && Array.isArray((body as Tree).body)) declared((body as Tree).body as Tree[], names, true);
  else if (Array.isArray(body)) declared(body as Tree[], names, scope.type === "Program" || scope.type === "StaticBlock");
  for (const one of (scope.cases ?? []) as Tree[]) declared(one.consequent as Tree[], names, false);
}

/** The end of the statement of a scope that gives a const, a class or an initialised let its value. */
function setAt(scope: Tree, name: string): number | undefined {
  const body = /Function/.test(scope.type) ? (scope.body as Tree).body : scope.body;
  for (const outer of Array.isArray(body) ? (body as Tree[]) : []) {
    const statement = /^Export(?:Named|Default)/.test(outer.type) && outer.declaration ? (outer.declaration as Tree) : outer;
    const names = new Set<string>();
    if (statement.type === "ClassDeclaration") namesOf(statement.id as Tree | null, names);
    if (statement.type === "VariableDeclaration" && statement.kind !== "var") {
      for (const one of statement.declarations as Tree[]) if (one.init !== null) namesOf(one.id as Tree, names);
    }
    if (names.has(name)) return statement.end;
  }
  return undefined;
}
