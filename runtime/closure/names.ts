// Finds the value of each free name of a draft: an import, a name its module was given, or a variable of a scope around it.

import { fileURLToPath } from "node:url";
import { types } from "node:util";
import { bindingOf } from "./bindings.ts";
import type { Capture } from "./capture.ts";
import { type Draft, offsetAt } from "./drafts.ts";
import type { ScopeView, ScriptView } from "./inspector.ts";
import { builtinOf, isForeignGlobal, isStandardGlobal } from "./intrinsics.ts";
import { RUNTIME_NAME, type Slot } from "./payload.ts";
import { memberStep, refusal, type Trail, variableStep } from "./refusal.ts";
import type { FreeName } from "./scope.ts";
import { fileOf } from "./stacks.ts";

interface Found {
  readonly value: unknown;
  readonly scope: ScopeView;
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
    if (found.value === undefined && HIDES_UNSET) refuseUnset(name, draft, at);
    draft.names.push({
      name,
      slot: variableSlot(capture, name, use, found, at),
      written: use.written,
      cell: found.scope.kind === "local" ? undefined : `${script.scriptId}|${name}`,
      scope: found.scope.values,
      owner: found.scope.owner,
    });
  }
  resolveArguments(capture, draft, scopes);
  resolveMeta(capture, draft, scopes);
}

function find(name: string, scopes: readonly ScopeView[], trail: Trail): Found | undefined {
  for (const scope of scopes) {
    const { values } = scope;
    if (!Object.prototype.hasOwnProperty.call(values, name)) continue;
    try {
      return { value: (values as Record<string, unknown>)[name], scope };
    } catch {
      // V8 throws for a binding that has no value yet; older releases say undefined.
      throw tooEarly(name, trail);
    }
  }
  return undefined;
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
  if (name === "module" && isObject(value) && "exports" in value && "paths" in value) {
    const exports = capture.slot(value.exports, memberStep(trail, "exports"));
    return capture.add({ k: "module", url: fileOf(script.url), exports });
  }
  if (name === "__vite_ssr_import_meta__") return capture.add({ k: "meta", url: fileOf(script.url) });
  if (name === "__vite_ssr_dynamic_import__") return capture.add({ k: "vite-import", url: fileOf(script.url), root: viteRoot() });
  return undefined;
}

function viteRoot(): string {
  const { __vitest_worker__: worker } = globalThis as { __vitest_worker__?: { config?: { root?: string } } };
  return worker?.config?.root ?? process.cwd();
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
  } else if (!use.guarded && !isForeignGlobal(name)) {
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
  const slot = known === undefined
    ? capture.add({ k: "meta", url: fileOf(script.url) })
    : capture.slot(known[local], draft.trail);
  draft.names.push({ name: local, slot, written: false, cell: undefined, scope: undefined, owner: "" });
  for (const { start, end } of analysis.metas) {
    draft.edits.push({ start: start - analysis.shift, end: end - analysis.shift, text: local });
  }
}

/** Node 20 reads a binding that has no value yet as undefined; later releases throw. */
const HIDES_UNSET = Number(process.versions.node.split(".")[0]) < 22;

/** A variable has no value yet when code that sees it is running now, before the statement that gives it one. */
function refuseUnset(name: string, { script, offset }: Draft, trail: Trail): void {
  const { setAt, start, end } = bindingOf(script, offset, name) ?? {};
  if (setAt === undefined || start === undefined || end === undefined) return;
  for (const at of runningIn(script)) if (start <= at && at < Math.min(setAt, end)) throw tooEarly(name, trail);
}

/** Offsets in a script at which its functions, or itself, are running: V8's own positions, before any source map. */
function runningIn(script: ScriptView): number[] {
  const { stackTraceLimit, prepareStackTrace } = Error;
  Error.stackTraceLimit = 200;
  Error.prepareStackTrace = (_, sites) => sites;
  const sites = new Error().stack as unknown as NodeJS.CallSite[];
  Error.prepareStackTrace = prepareStackTrace;
  Error.stackTraceLimit = stackTraceLimit;
  const [url, path] = [script.url, script.url.startsWith("file:") ? fileURLToPath(script.url) : script.url];
  const here = sites.filter((site) => [url, path].includes(site.getScriptNameOrSourceURL() ?? ""));
  return here.map((site) => offsetAt(script, (site.getLineNumber() ?? 1) - 1, (site.getColumnNumber() ?? 1) - 1));
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
