// The only user of node:inspector: what V8 knows of a function and JavaScript can't ask.
//
// One session a process, and each answer arrives before `post` returns, so a capture is one synchronous snapshot. The debugger
// is on only while scripts are listed: left on, it makes asynchronous code ten times slower.

import { createRequire } from "node:module";
import { runInThisContext } from "node:vm";
import type { Session } from "node:inspector";

/** A scope of a function, innermost first; `values` is V8's copy of its variables. */
export interface ScopeView {
  readonly kind: "module" | "script" | "local";
  /** Name of the function the scope belongs to, empty when it has none. */
  readonly owner: string;
  readonly values: object;
}
export interface FunctionView {
  readonly scopes: readonly ScopeView[];
  readonly location: { readonly scriptId: string; readonly line: number; readonly column: number } | undefined;
  readonly bound: { readonly target: Function; readonly self: unknown; readonly args: readonly unknown[] } | undefined;
}
export interface ScriptView {
  readonly scriptId: string;
  readonly url: string;
  readonly isModule: boolean;
  readonly startLine: number;
  readonly startColumn: number;
  readonly source: string;
}

const GROUP = "troupe-capture";
const BOX = "troupe.capture.box";

interface Box {
  value: unknown;
  out: unknown;
}
interface PropertyAnswer {
  readonly name: string;
  readonly value?: { readonly objectId?: string; readonly value?: unknown };
}
interface LocationAnswer {
  readonly scriptId: string;
  readonly lineNumber: number;
  readonly columnNumber: number;
}
interface PropertiesAnswer {
  readonly internalProperties?: readonly PropertyAnswer[];
  readonly privateProperties?: readonly PropertyAnswer[];
}
interface ScriptAnswer {
  readonly scriptId: string;
  readonly url: string;
  readonly isModule?: boolean;
  readonly startLine: number;
  readonly startColumn: number;
}

/** Of this package, as it was compiled: the user's own code may lie beside it. */
const OWN_FOLDERS = ["runtime/", "sdk/", "scheduler/", "proto/", "native/"].map((folder) => (
  new URL(`../../${folder}`, import.meta.url).href
));

/** Whether functions of the script may be captured. Those of packages are imported where they run. */
function isLikely(url: string): boolean {
  if (url === "" || url.startsWith("node:") || url.includes("/node_modules/")) return false;
  return !OWN_FOLDERS.some((folder) => url.startsWith(folder));
}

export class Inspector {
  readonly #session: Session;
  /** The global object that the inspector evaluates in: a test runner may give programs another one. */
  readonly #global = runInThisContext("globalThis") as Record<symbol, unknown>;
  readonly #box: Box = { value: undefined, out: undefined };
  readonly #scripts = new Map<string, ScriptAnswer>();
  readonly #sources = new Map<string, string>();

  /** Throws when this process has no inspector, for instance under the permission model. */
  constructor() {
    const inspector = createRequire(import.meta.url)("node:inspector") as typeof import("node:inspector");
    this.#session = new inspector.Session();
    this.#session.connect();
    this.#session.on("Debugger.scriptParsed", ({ params }) => this.#scripts.set(params.scriptId, params));
  }

  /** Location, scopes or bound parts of a function that is not native. */
  lookAt(fn: Function): FunctionView {
    return this.#withBox(fn, (objectId) => {
      const { internalProperties = [] } = this.#properties(objectId);
      const named = (name: string): PropertyAnswer["value"] => (
        internalProperties.find((property) => property.name === name)?.value
      );
      const target = named("[[TargetFunction]]");
      const at = named("[[FunctionLocation]]")?.value as LocationAnswer | undefined;
      return {
        location: at === undefined ? undefined : { scriptId: at.scriptId, line: at.lineNumber, column: at.columnNumber },
        scopes: this.#scopes(named("[[Scopes]]")?.objectId),
        bound: target === undefined ? undefined : {
          target: this.#value(target) as Function,
          self: this.#value(named("[[BoundThis]]")),
          args: this.#value(named("[[BoundArgs]]")) as unknown[],
        },
      };
    });
  }

  /** Own private fields of an object or class: `#name` and value. Methods and accessors are not among them. */
  privates(value: object): [string, unknown][] {
    return this.#withBox(value, (objectId) => {
      const { privateProperties = [] } = this.#properties(objectId);
      return privateProperties.filter((property) => property.value !== undefined)
        .map((property) => [property.name, this.#value(property.value)]);
    });
  }

  /** Pairs of a WeakMap, or members of a WeakSet as pairs without a value, in no order that means anything. */
  weakEntries(value: object): [WeakKey, unknown][] {
    return this.#withBox(value, (objectId) => {
      const { internalProperties = [] } = this.#properties(objectId);
      const entries = internalProperties.find((property) => property.name === "[[Entries]]")?.value?.objectId;
      if (entries === undefined) return [];
      const text = "function(){return Array.from(this,(one)=>'key' in one?[one.key,one.value]:[one.value,undefined])}";
      return this.#call(entries, text) as [WeakKey, unknown][];
    });
  }

  script(scriptId: string): ScriptView | undefined {
    if (!this.#scripts.has(scriptId) || !this.#sources.has(scriptId)) this.#harvest(scriptId);
    const script = this.#scripts.get(scriptId);
    if (script === undefined) return undefined;
    const { url, isModule = false, startLine, startColumn } = script;
    return { scriptId, url, isModule, startLine, startColumn, source: this.#sources.get(scriptId) ?? "" };
  }

  /** Lists scripts with the sources of all that are likely to be asked for, so that one harvest serves many captures. */
  #harvest(wanted: string): void {
    this.#post("Debugger.enable");
    try {
      for (const { scriptId, url } of this.#scripts.values()) {
        if (this.#sources.has(scriptId)) continue;
        if (scriptId !== wanted && !isLikely(url)) continue;
        this.#sources.set(scriptId, this.#post<{ scriptSource: string }>("Debugger.getScriptSource", { scriptId }).scriptSource);
      }
    } finally {
      this.#post("Debugger.disable");
    }
  }

  #scopes(objectId: string | undefined): ScopeView[] {
    if (objectId === undefined) return [];
    const found = this.#call(objectId, "function(){return Array.from(this,(scope)=>[scope.description,scope.object])}") as
      [string, object][];
    const scopes: ScopeView[] = [];
    for (const [description, values] of found) {
      if (description === "Global") continue;
      const kind = description === "Module" ? "module" : description === "Script" ? "script" : "local";
      scopes.push({ kind, owner: /\((.*)\)$/.exec(description)?.[1] ?? "", values });
    }
    return scopes;
  }

  #withBox<T>(value: unknown, work: (objectId: string) => T): T {
    const key = Symbol.for(BOX);
    const holder = this.#global;
    Object.defineProperty(holder, key, { value: this.#box, configurable: true, enumerable: false, writable: true });
    this.#box.value = value;
    try {
      const expression = `globalThis[Symbol.for("${BOX}")].value`;
      const { result } = this.#post<{ result: { objectId: string } }>("Runtime.evaluate", { expression, objectGroup: GROUP });
      return work(result.objectId);
    } finally {
      this.#box.value = undefined;
      this.#box.out = undefined;
      delete holder[key];
      this.#post("Runtime.releaseObjectGroup", { objectGroup: GROUP });
    }
  }

  #properties(objectId: string): PropertiesAnswer {
    return this.#post("Runtime.getProperties", { objectId, ownProperties: true });
  }

  #value(answer: PropertyAnswer["value"]): unknown {
    if (answer === undefined) return undefined;
    if (answer.objectId === undefined) return primitiveOf(answer);
    return this.#call(answer.objectId, "function(){return this}");
  }

  /** Runs a strict function on a remote object; its result comes back as the very value, through the box. */
  #call(objectId: string, text: string): unknown {
    const functionDeclaration = `function(){"use strict";globalThis[Symbol.for("${BOX}")].out=(${text}).call(this)}`;
    const { exceptionDetails } = this.#post<{ exceptionDetails?: { exception?: { description?: string }; text: string } }>(
      "Runtime.callFunctionOn", { objectId, functionDeclaration, objectGroup: GROUP },
    );
    if (exceptionDetails === undefined) return this.#box.out;
    throw new Error(`inspector: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
  }

  #post<T>(method: string, params?: object): T {
    let answer: { error: Error | null; result: unknown } | undefined;
    this.#session.post(method, params, (error: Error | null, result: unknown) => {
      answer = { error, result };
    });
    if (answer === undefined) throw new Error(`inspector: ${method} was not answered synchronously`);
    if (answer.error !== null) throw new Error(`inspector: ${method}: ${answer.error.message}`);
    return answer.result as T;
  }
}

function primitiveOf(answer: { readonly value?: unknown; readonly unserializableValue?: string }): unknown {
  const text = answer.unserializableValue;
  if (text === undefined) return answer.value;
  return text.endsWith("n") ? BigInt(text.slice(0, -1)) : Number(text);
}
