// Which declaration of a script a name means at a place in it.

import { parseSource } from "./analyze.ts";
import type { ScriptView } from "./inspector.ts";
import { declared, namesOf, type Tree } from "./scope.ts";

export class Binding {
  readonly #scope: Tree;
  readonly #name: string;
  /** Whether it exists once: no loop is around it, and no function that could be called again. */
  readonly isSingle: boolean;

  constructor(around: readonly Tree[], name: string) {
    this.#scope = around[0];
    this.#name = name;
    this.isSingle = isSingle(around);
  }

  /** The code in which it is visible. */
  get start(): number {
    return this.#scope.start;
  }

  get end(): number {
    return this.#scope.end;
  }

  /** Where it has its value; undefined for what has one from the start. */
  get setAt(): number | undefined {
    return setAt(this.#scope, this.#name);
  }

  /** Whether it keeps the value that it was given first. */
  get isConstant(): boolean {
    return !isAssigned(this.#scope, this.#name);
  }

  /** Where the text of the function or class begins that it has as long as it exists. */
  get constantAt(): number | undefined {
    return constantAt(this.#scope, this.#name);
  }
}

interface ParsedScript {
  readonly scriptId: string;
  readonly tree: Tree | undefined;
  /** Nodes around a place, innermost first. */
  readonly around: Map<number, readonly Tree[]>;
}

/** Trees of whole scripts are large: only the last one is kept. */
let last: ParsedScript | undefined;
const declaredNames = new WeakMap<Tree, ReadonlySet<string>>();
const assignedNames = new WeakMap<Tree, ReadonlySet<string>>();

function parsed(script: ScriptView): ParsedScript {
  if (last?.scriptId !== script.scriptId) {
    const tree = parseSource(script.source, script.isModule ? "module" : "script");
    last = { scriptId: script.scriptId, tree, around: new Map() };
  }
  return last;
}

function aroundOf(script: ScriptView, offset: number): readonly Tree[] {
  const { tree, around: known } = parsed(script);
  let around = known.get(offset);
  if (around !== undefined) return around;
  const found: Tree[] = [];
  let at = tree;
  while (at !== undefined) {
    found.unshift(at);
    at = children(at).find(({ start, end }) => start <= offset && offset < end);
    if (at?.start === offset && /Function|^Class/.test(at.type)) break;
  }
  known.set(offset, around = found);
  return around;
}

/** The binding of a name that the code at `offset` has from around it. */
export function bindingOf(script: ScriptView, offset: number, name: string): Binding | undefined {
  const around = aroundOf(script, offset);
  const depth = around.findIndex((scope) => namesIn(scope).has(name));
  return depth < 0 ? undefined : new Binding(around.slice(depth), name);
}

function namesIn(scope: Tree): ReadonlySet<string> {
  let names = declaredNames.get(scope);
  if (names === undefined) {
    const found = new Set<string>();
    collect(scope, found);
    declaredNames.set(scope, names = found);
  }
  return names;
}

/**
 * Whether the first of nested nodes, innermost first, runs once: so does a nameless function that is called where it stands, and
 * one that is a whole script, as test runners wrap modules.
 */
function isSingle(around: readonly Tree[]): boolean {
  return around.every((node, depth) => {
    if (/^(?:For|While|DoWhile)/.test(node.type)) return false;
    if (!/Function/.test(node.type)) return true;
    const call = around[depth + 1];
    if (!node.id && call?.type === "ExpressionStatement" && isOnly(around[depth + 2])) return true;
    return !node.id && node.generator !== true && call?.type === "CallExpression" && call.callee === node;
  });
}

/** Whether a script is one statement and no more. */
function isOnly(program: Tree | undefined): boolean {
  return program?.type === "Program" && (program.body as Tree[]).filter((one) => one.directive === undefined).length === 1;
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

function statementsOf(scope: Tree): Tree[] {
  const body = /Function/.test(scope.type) ? (scope.body as Tree).body : scope.body;
  const all = Array.isArray(body) ? (body as Tree[]) : [];
  return all.map((one) => /^Export(?:Named|Default)/.test(one.type) && one.declaration ? (one.declaration as Tree) : one);
}

/** The function or class of a declaration in a scope that nothing in it assigns to again. */
function constantAt(scope: Tree, name: string): number | undefined {
  for (const statement of statementsOf(scope)) {
    if (/^(?:Function|Class)Declaration$/.test(statement.type) && (statement.id as Tree | null)?.name === name) {
      return isAssigned(scope, name) ? undefined : statement.start;
    }
    if (statement.type !== "VariableDeclaration") continue;
    const own = (statement.declarations as Tree[]).find((one) => (one.id as Tree).name === name);
    if (own === undefined) continue;
    const value = namedValue(own.init as Tree | null);
    return /Function|^Class/.test(value?.type ?? "") && !isAssigned(scope, name) ? value?.start : undefined;
  }
  return undefined;
}

/** Compilers give a function its name through a helper that returns the function. */
function namedValue(init: Tree | null): Tree | undefined {
  const callee = init?.callee as Tree | undefined;
  if (callee?.name !== "__name") return init ?? undefined;
  return (init?.arguments as Tree[])[0];
}

/** Whether any code of a scope assigns to a name, whichever variable it means there. */
function isAssigned(scope: Tree, name: string): boolean {
  let names = assignedNames.get(scope);
  if (names === undefined) {
    const found = new Set<string>();
    collectAssigned(scope, found);
    assignedNames.set(scope, names = found);
  }
  return names.has(name);
}

function collectAssigned(node: Tree, names: Set<string>): void {
  const target = (node.type === "UpdateExpression" ? node.argument : node.left) as Tree | null | undefined;
  if (/^(?:Assignment|Update)Expression$|^For(?:In|Of)/.test(node.type) && target?.type !== "VariableDeclaration") {
    namesOf(target as Tree | null, names);
  }
  for (const child of children(node)) collectAssigned(child, names);
}

/** The end of the statement of a scope that gives a const, a class or an initialised let its value. */
function setAt(scope: Tree, name: string): number | undefined {
  for (const statement of statementsOf(scope)) {
    const names = new Set<string>();
    if (statement.type === "ClassDeclaration") namesOf(statement.id as Tree | null, names);
    if (statement.type === "VariableDeclaration" && statement.kind !== "var") {
      for (const one of statement.declarations as Tree[]) if (one.init !== null) namesOf(one.id as Tree, names);
    }
    if (names.has(name)) return statement.end;
  }
  return undefined;
}
