// Names of a piece of JavaScript that are bound outside of it, by a walk over its acorn tree.

import type { Node } from "acorn";

/** A tree node, read structurally: the walk is generic over node types. */
export type Tree = Node & Record<string, unknown>;

/** One place where a free name stands, for rewriting it. */
export interface Place {
  readonly start: number;
  readonly end: number;
  readonly kind: "plain" | "shorthand" | "callee";
}
export interface FreeName {
  written: boolean;
  /** Every use is `typeof name`, or code that only such a test leads to: a missing name is no error. */
  guarded: boolean;
  /** Members read, when `name.member` is the only use; undefined otherwise. */
  members: Set<string> | undefined;
  readonly places: Place[];
}
/** What a function takes from around it besides names. */
export interface Outer {
  readonly names: Map<string, FreeName>;
  usesThis: boolean;
  usesArguments: Place[];
  usesSuper: boolean;
  usesNewTarget: boolean;
  usesEval: boolean;
  readonly metas: Place[];
  readonly privates: Set<string>;
}

interface Frame {
  readonly names: Set<string>;
}
interface Context {
  readonly frames: readonly Frame[];
  /** Whether `this`, `super` and `new.target` mean those of a function inside the text. */
  readonly ownThis: boolean;
  readonly ownArguments: boolean;
  readonly ownSuper: boolean;
  readonly privates: ReadonlySet<string>;
}

const EMPTY: Context = { frames: [], ownThis: false, ownArguments: false, ownSuper: false, privates: new Set() };

export function outerOf(root: Tree): Outer {
  const walk = new Walk();
  walk.visit(root, EMPTY);
  return walk.outer;
}

class Walk {
  readonly outer: Outer = {
    names: new Map(), usesThis: false, usesArguments: [], usesSuper: false, usesNewTarget: false, usesEval: false, metas: [],
    privates: new Set(),
  };

  visit(node: Tree | null | undefined, at: Context): void {
    if (node === null || node === undefined) return;
    switch (node.type) {
      case "Identifier": return this.#use(node, at, { kind: "plain" });
      case "FunctionDeclaration": case "FunctionExpression": case "ArrowFunctionExpression": return this.#function(node, at);
      case "ClassDeclaration": case "ClassExpression": return this.#class(node, at);
      case "BlockStatement": case "StaticBlock": case "ForStatement": case "ForInStatement": case "ForOfStatement":
      case "SwitchStatement": case "CatchClause": case "Program": return this.#block(node, at);
      case "VariableDeclarator":
        this.#pattern(node.id as Tree, at, false);
        return this.visit(node.init as Tree, at);
      case "MemberExpression": return this.#member(node, at);
      case "Property": return this.#property(node, at);
      case "AssignmentExpression":
        this.#pattern(node.left as Tree, at, true);
        return this.visit(node.right as Tree, at);
      case "UpdateExpression": return this.#pattern(node.argument as Tree, at, true);
      case "UnaryExpression": return this.#unary(node, at);
      case "CallExpression": return this.#callOf(node, at);
      case "ThisExpression":
        this.outer.usesThis ||= !at.ownThis;
        return;
      case "Super":
        this.outer.usesSuper ||= !at.ownSuper;
        return;
      case "MetaProperty":
        if ((node.meta as Tree).name === "import") this.outer.metas.push({ start: node.start, end: node.end, kind: "plain" });
        else this.outer.usesNewTarget ||= !at.ownThis;
        return;
      case "PrivateIdentifier":
        if (!at.privates.has(node.name as string)) this.outer.privates.add(node.name as string);
        return;
      case "LabeledStatement": return this.visit(node.body as Tree, at);
      case "BreakStatement": case "ContinueStatement": return;
      default: return this.#children(node, at);
    }
  }

  #children(node: Tree, at: Context): void {
    for (const key in node) {
      const value = node[key];
      if (Array.isArray(value)) for (const item of value) isTree(item) && this.visit(item, at);
      else if (isTree(value)) this.visit(value, at);
    }
  }

  #use(node: Tree, at: Context, how: { kind: Place["kind"]; write?: boolean; guarded?: boolean; member?: string }): void {
    const name = node.name as string;
    for (const frame of at.frames) if (frame.names.has(name)) return;
    if (name === "arguments") {
      if (!at.ownArguments) this.outer.usesArguments.push({ start: node.start, end: node.end, kind: how.kind });
      return;
    }
    let found = this.outer.names.get(name);
    if (found === undefined) {
      found = { written: false, guarded: false, members: new Set(), places: [] };
      this.outer.names.set(name, found);
    }
    found.written ||= how.write === true;
    found.guarded ||= how.guarded === true;
    if (how.member === undefined) found.members = undefined;
    else found.members?.add(how.member);
    found.places.push({ start: node.start, end: node.end, kind: how.kind });
  }

  #unary(node: Tree, at: Context): void {
    const argument = node.argument as Tree;
    if (node.operator === "typeof" && argument.type === "Identifier") this.#use(argument, at, { kind: "plain", guarded: true });
    else this.visit(argument, at);
  }

  #callOf(node: Tree, at: Context): void {
    const callee = node.callee as Tree;
    if (callee.type === "Identifier") {
      if (callee.name === "eval") this.outer.usesEval = true;
      this.#use(callee, at, { kind: "callee" });
    } else this.visit(callee, at);
    for (const argument of node.arguments as Tree[]) this.visit(argument, at);
  }

  #member(node: Tree, at: Context): void {
    const object = node.object as Tree;
    const property = node.property as Tree;
    if (object.type === "Identifier" && node.computed !== true && property.type === "Identifier") {
      this.#use(object, at, { kind: "plain", member: property.name as string });
      return;
    }
    this.visit(object, at);
    if (node.computed === true || property.type === "PrivateIdentifier") this.visit(property, at);
  }

  #property(node: Tree, at: Context): void {
    if (node.shorthand === true) return this.#use(node.key as Tree, at, { kind: "shorthand" });
    if (node.computed === true) this.visit(node.key as Tree, at);
    const isMethod = node.method === true || node.kind !== "init";
    this.visit(node.value as Tree, isMethod ? { ...at, ownSuper: true } : at);
  }

  /** A pattern that binds (`write` false: names are declared in a frame) or assigns. */
  #pattern(node: Tree | null, at: Context, write: boolean, shorthand = false): void {
    if (node === null) return;
    switch (node.type) {
      case "Identifier":
        if (write) this.#use(node, at, { kind: shorthand ? "shorthand" : "plain", write });
        return;
      case "AssignmentPattern":
        this.#pattern(node.left as Tree, at, write, shorthand);
        return this.visit(node.right as Tree, at);
      case "RestElement": return this.#pattern(node.argument as Tree, at, write);
      case "ArrayPattern":
        for (const item of node.elements as (Tree | null)[]) this.#pattern(item, at, write);
        return;
      case "ObjectPattern":
        for (const item of node.properties as Tree[]) {
          if (item.type === "RestElement") this.#pattern(item, at, write);
          else {
            if (item.computed === true) this.visit(item.key as Tree, at);
            this.#pattern(item.value as Tree, at, write, item.shorthand === true);
          }
        }
        return;
      default: this.visit(node, at);
    }
  }

  #function(node: Tree, at: Context): void {
    const names = new Set<string>();
    const isArrow = node.type === "ArrowFunctionExpression";
    if (!isArrow && node.id) names.add((node.id as Tree).name as string);
    for (const parameter of node.params as Tree[]) namesOf(parameter, names);
    const body = node.body as Tree;
    const outer: Context = {
      ...at,
      frames: [{ names }, ...at.frames],
      ownThis: at.ownThis || !isArrow,
      ownArguments: at.ownArguments || !isArrow,
    };
    for (const parameter of node.params as Tree[]) this.#pattern(parameter, outer, false);
    if (body.type !== "BlockStatement") return this.visit(body, outer);
    // Defaults of parameters don't see the variables of the body.
    const inner = new Set<string>();
    declared(body.body as Tree[], inner, true);
    for (const statement of body.body as Tree[]) this.visit(statement, { ...outer, frames: [{ names: inner }, ...outer.frames] });
  }

  #block(node: Tree, at: Context): void {
    const names = new Set<string>();
    if (node.type === "CatchClause") namesOf(node.param as Tree | null, names);
    if (node.type === "SwitchStatement") for (const one of node.cases as Tree[]) declared(one.consequent as Tree[], names, false);
    if (Array.isArray(node.body)) declared(node.body as Tree[], names, node.type === "StaticBlock" || node.type === "Program");
    for (const head of [node.init, node.left]) if (isTree(head)) declared([head], names, false);
    const isStatic = node.type === "StaticBlock";
    const inner: Context = {
      ...at, frames: [{ names }, ...at.frames], ownThis: at.ownThis || isStatic, ownSuper: at.ownSuper || isStatic,
    };
    if (node.type === "CatchClause") this.#pattern(node.param as Tree | null, inner, false);
    const left = node.left as Tree | undefined;
    if (left !== undefined && left.type !== "VariableDeclaration") this.#pattern(left, inner, true);
    for (const key in node) {
      const value = node[key];
      if (key === "param" || (key === "left" && left?.type !== "VariableDeclaration")) continue;
      if (Array.isArray(value)) for (const item of value) isTree(item) && this.visit(item, inner);
      else if (isTree(value)) this.visit(value, inner);
    }
  }

  #class(node: Tree, at: Context): void {
    const elements = (node.body as Tree).body as Tree[];
    const privates = new Set(at.privates);
    for (const { key } of elements as { key?: Tree }[]) if (key?.type === "PrivateIdentifier") privates.add(key.name as string);
    const names = new Set<string>(node.id ? [(node.id as Tree).name as string] : []);
    const inner: Context = { ...at, privates, frames: [{ names }, ...at.frames] };
    this.visit(node.superClass as Tree | null, inner);
    for (const element of elements) {
      if (element.computed === true) this.visit(element.key as Tree, inner);
      if (element.type === "StaticBlock") this.visit(element, inner);
      else this.visit(element.value as Tree | null, { ...inner, ownThis: true, ownSuper: true });
    }
  }
}

function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && typeof (value as Tree).type === "string";
}

/** Names that a binding pattern declares. */
export function namesOf(node: Tree | null, names: Set<string>): void {
  if (node === null) return;
  switch (node.type) {
    case "Identifier": names.add(node.name as string); return;
    case "AssignmentPattern": return namesOf(node.left as Tree, names);
    case "RestElement": return namesOf(node.argument as Tree, names);
    case "ArrayPattern": for (const item of node.elements as (Tree | null)[]) namesOf(item, names); return;
    case "ObjectPattern":
      for (const item of node.properties as Tree[]) namesOf((item.type === "RestElement" ? item : item.value) as Tree, names);
  }
}

/** Names that statements declare in their own scope; with `vars` also the `var`s of nested statements. */
export function declared(statements: readonly Tree[], names: Set<string>, vars: boolean): void {
  for (const statement of statements) {
    if (statement.type === "FunctionDeclaration" || statement.type === "ClassDeclaration") {
      names.add((statement.id as Tree).name as string);
    } else if (statement.type === "VariableDeclaration" && statement.kind !== "var") {
      for (const one of statement.declarations as Tree[]) namesOf(one.id as Tree, names);
    }
    if (vars) hoisted(statement, names);
  }
}

function hoisted(node: Tree, names: Set<string>): void {
  if (/Function|^Class|Expression$/.test(node.type)) return;
  if (node.type === "VariableDeclaration" && node.kind === "var") {
    for (const one of node.declarations as Tree[]) namesOf(one.id as Tree, names);
  }
  for (const key in node) {
    const value = node[key];
    if (Array.isArray(value)) for (const item of value) isTree(item) && hoisted(item, names);
    else if (isTree(value)) hoisted(value, names);
  }
}
