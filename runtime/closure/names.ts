// Finds the value of each free name of a draft: an import, a name its module was given, or a variable of a scope around it.

import { types } from "node:util";
import type { Capture } from "./capture.ts";
import type { Draft } from "./drafts.ts";
import type { ScopeView, ScriptView } from "./inspector.ts";
import { builtinOf, isStandardGlobal } from "./intrinsics.ts";
import { RUNTIME_NAME, type Slot } from "./payload.ts";
import { memberStep, refusal, type Trail, variableStep } from "./refusal.ts";
import { parseSource } from "./analyze.ts";
import { namesOf, type FreeName, type Tree } from "./scope.ts";

interface Found {
  readonly value: unknown;
  readonly scope: ScopeView;
  readonly isModuleLevel: boolean;
}

export function resolveNames(capture: Capture, draft: Draft, scopes: readonly ScopeView[]): void {
  const { analysis, script, trail } = draft;
  for (const [name, use] of analysis.names) {
    if (name === RUNTIME_NAME || name === "undefined") continue;
    const at = variableStep(trail, name);
    const found = find(name, scopes, at);
    const given = givenSlot(capture, name, found, script, at);
    if (given !== undefined) {
      draft.names.push({ name, slot: given, written: false, cell: undefined, scope: undefined, owner: "" });
      continue;
    }
    if (found === undefined) {
      resolveGlobal(capture, draft, name, use, at);
      continue;
    }
    if (found.value === undefined && found.isModuleLevel) refuseUnset(name, script, at);
    draft.names.push({
      name,
      slot: variableSlot(capture, name, use, found, at),
      written: use.written,
      cell: found.isModuleLevel ? `${script.scriptId}|${name}` : undefined,
      scope: found.scope.values,
      owner: found.scope.owner,
    });
  }
  resolveArguments(capture, draft, scopes);
  resolveMeta(capture, draft, scopes);
}

function find(name: string, scopes: readonly ScopeView[], trail: Trail): Found | undefined {
  for (const [depth, scope] of scopes.entries()) {
    const { values } = scope;
    if (!Object.prototype.hasOwnProperty.call(values, name)) continue;
    try {
      return { value: (values as Record<string, unknown>)[name], scope, isModuleLevel: isModuleLevel(scopes, depth) };
    } catch {
      // V8 throws for a binding that has no value yet; older releases say undefined.
      throw tooEarly(name, trail);
    }
  }
  return undefined;
}

/** Variables of a module exist once: those of an ES module, and those of the unnamed wrappers around other scripts. */
function isModuleLevel(scopes: readonly ScopeView[], depth: number): boolean {
  if (scopes[depth].kind !== "local") return true;
  return scopes.slice(depth).every((scope) => scope.kind === "script" || (scope.kind === "local" && scope.owner === "")) &&
    !scopes.some((scope) => scope.kind === "module");
}

/** Imports, and what a module system gives a module: these are made again in the worker, not copied. */
function givenSlot(capture: Capture, name: string, found: Found | undefined, script: ScriptView, trail: Trail): Slot | undefined {
  const { modules } = capture.parts;
  const imported = modules.importsOf(script).get(name);
  if (imported !== undefined && (found === undefined || found.scope.kind === "module")) {
    const reference = modules.imported(script, imported, capture.mode === "value");
    if (reference !== undefined && !isPrimitive(found?.value)) return capture.referenceSlot(found?.value ?? {}, reference);
  }
  const value = found?.value;
  if (name === "require" && typeof value === "function" && "cache" in value) {
    return capture.add({ k: "require", url: script.url });
  }
  if (name === "module" && isObject(value) && "exports" in value && "paths" in value) {
    return capture.add({ k: "module", url: script.url, exports: capture.slot(value.exports, memberStep(trail, "exports")) });
  }
  if (name === "__vite_ssr_import_meta__") return capture.add({ k: "meta", url: script.url });
  if (name === "__vite_ssr_dynamic_import__") return capture.add({ k: "require", url: script.url });
  return undefined;
}

/** The value of a variable; of a namespace that is only used by members, those members. */
function variableSlot(capture: Capture, name: string, use: FreeName, found: Found, trail: Trail): Slot {
  const { value } = found;
  const isNamespace = isObject(value) && (types.isModuleNamespaceObject(value) || name.startsWith("__vite_ssr_import_") ||
    (!types.isProxy(value) && Object.prototype.hasOwnProperty.call(value, "__esModule")) || /^import_/.test(name));
  if (!isNamespace || use.members === undefined || (!types.isProxy(value) && builtinOf(value) !== undefined)) {
    return capture.slot(value, trail);
  }
  const members = value as Record<string, unknown>;
  const props = [...use.members].sort().filter((key) => key in members).map((key) => (
    { key, flags: 7, value: capture.slot(members[key], memberStep(trail, key)) }
  ));
  return capture.add({ k: "object", proto: [null], build: { as: "null" }, props });
}

/** A name no scope has: the worker's own global, a global the program made, or nothing. */
function resolveGlobal(capture: Capture, draft: Draft, name: string, use: FreeName, trail: Trail): void {
  if (isStandardGlobal(name)) return;
  const descriptor = Object.getOwnPropertyDescriptor(globalThis, name);
  if (descriptor !== undefined) {
    const slot = capture.slot((globalThis as Record<string, unknown>)[name], trail);
    draft.names.push({ name, slot, written: use.written, cell: undefined, scope: undefined, owner: "" });
  } else if (!use.guarded) {
    throw refusal("CAPTURE_MISSING_NAME", `it uses "${name}", which is neither a variable around it nor a global`, trail,
      `define "${name}" where the function is defined, or test for it with typeof first.`);
  }
}

function resolveArguments(capture: Capture, draft: Draft, scopes: readonly ScopeView[]): void {
  const { analysis, trail } = draft;
  if (analysis.usesArguments.length === 0) return;
  const local = `${RUNTIME_NAME}_arguments`;
  const found = find("arguments", scopes, trail);
  const values = Array.from((found?.value ?? []) as ArrayLike<unknown>);
  const slot = capture.slot(values, variableStep(trail, "arguments"));
  draft.names.push({ name: local, slot, written: false, cell: undefined, scope: undefined, owner: "" });
  for (const { start, end, kind } of analysis.usesArguments) {
    const text = kind === "shorthand" ? `arguments: ${local}` : local;
    draft.edits.push({ start: start - analysis.shift, end: end - analysis.shift, text });
  }
}

function resolveMeta(capture: Capture, draft: Draft, scopes: readonly ScopeView[]): void {
  const { analysis, script } = draft;
  if (analysis.metas.length === 0) return;
  const local = `${RUNTIME_NAME}_meta`;
  const known = scopes.find(({ values }) => local in values)?.values as Record<string, unknown> | undefined;
  const slot = known === undefined ? capture.add({ k: "meta", url: script.url }) : capture.slot(known[local], draft.trail);
  draft.names.push({ name: local, slot, written: false, cell: undefined, scope: undefined, owner: "" });
  for (const { start, end } of analysis.metas) {
    draft.edits.push({ start: start - analysis.shift, end: end - analysis.shift, text: local });
  }
}

/**
 * Node 20 reads a binding that has no value yet as undefined. It is one when the module's text gives it a value further down than
 * the line of the module that is running now.
 */
function refuseUnset(name: string, script: ScriptView, trail: Trail): void {
  const line = declarationLine(name, script);
  if (line === undefined) return;
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 200;
  const { stack } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  const running = stack?.split("\n").map((frame) => /^\s+at (?:async )?(file:.*|\/.*):(\d+):\d+$/.exec(frame)) ?? [];
  const path = decodeURI(script.url.replace(/^file:\/\//, ""));
  for (const frame of running) {
    if (frame === null || decodeURI(frame[1].replace(/^file:\/\//, "")) !== path) continue;
    if (Number(frame[2]) <= line) throw tooEarly(name, trail);
  }
}

/** The line on which a module gives a const, a class or an initialised let its value. */
function declarationLine(name: string, script: ScriptView): number | undefined {
  if (!script.isModule) return undefined;
  for (const outer of (parseSource(script.source, "module")?.body ?? []) as Tree[]) {
    const statement = (outer.type === "ExportNamedDeclaration" && outer.declaration ? outer.declaration : outer) as Tree;
    const names = new Set<string>();
    if (statement.type === "ClassDeclaration") namesOf(statement.id as Tree, names);
    if (statement.type === "VariableDeclaration" && statement.kind !== "var") {
      for (const one of statement.declarations as Tree[]) if (one.init !== null) namesOf(one.id as Tree, names);
    }
    if (names.has(name)) return script.source.slice(0, statement.start).split("\n").length;
  }
  return undefined;
}

function tooEarly(name: string, trail: Trail): Error {
  return refusal("CAPTURE_TDZ", `it uses "${name}", which has no value yet`, trail,
    `move the call below the definition of "${name}".`);
}

function isObject(value: unknown): value is Record<PropertyKey, unknown> {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

function isPrimitive(value: unknown): boolean {
  return value !== undefined && !isObject(value);
}
