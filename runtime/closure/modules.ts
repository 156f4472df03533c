// Where a function comes from, and whether a worker can import it from there.
//
// Never by reference: the entry of the program (importing it would run the driver again), a module that is still evaluating
// (waiting for it would never end), and, while loader hooks are at work, files of the user (a plain worker can't load them,
// and asking for them here would load them twice).

import { readFileSync, realpathSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { types } from "node:util";
import { parseSource } from "./analyze.ts";
import type { ScopeView, ScriptView } from "./inspector.ts";
import { declared, type Tree } from "./scope.ts";

/** One imported name of a module: `name` is the export, "*" the whole namespace. */
export interface ImportedName {
  readonly specifier: string;
  readonly name: string;
}
export type Reference =
  | { readonly k: "import"; readonly from: string; readonly specifier: string; readonly path: readonly string[] }
  | { readonly k: "own"; readonly file: string; readonly path: readonly string[] };

/** Opens every script that `revive` compiles: its functions come from no module, whatever its file name says. */
export const COMPILED_MARK = "/*troupe*/";

/** Of the running files: `dist/` of the package, or its sources. */
const OWN_ROOT = new URL("../../", import.meta.url).href;
const PACKAGE_ROOT = OWN_ROOT.replace(/\/dist\/$/, "/");
const INSTALLED = "/node_modules/troupe/";
const OWN_FILE = /^(?:dist\/)?((?:dag|sdk|runtime|scheduler|native|proto)\/.*)\.[jt]s$/;

/** A file of this package, as every copy of it has it, compiled or not: `sdk/remote`. */
export function ownFileOf(url: string): string | undefined {
  const installed = url.lastIndexOf(INSTALLED);
  const path = url.startsWith(PACKAGE_ROOT) ? url.slice(PACKAGE_ROOT.length) : installed < 0
    ? "" : url.slice(installed + INSTALLED.length);
  return path.includes(".test.") ? undefined : OWN_FILE.exec(path)?.[1];
}

/** This process's copy of a file of this package. */
export function ownUrlOf(file: string): string {
  return `${OWN_ROOT}${file}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`;
}

const loaderFlags = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? "").split(/\s+/)];
const hasHooks = process.env.VITEST !== undefined ||
  loaderFlags.some((flag) => /^--(?:import|loader|experimental-loader|require)\b|^-r$/.test(flag));
const hasTsx = loaderFlags.some((flag) => flag.includes("tsx"));

/** Files that importing would run the program again; more than one name when the program was started through a link. */
function entryUrls(): Set<string> {
  const urls = new Set<string>();
  const add = (path: string): void => {
    try {
      urls.add(pathToFileURL(path).href).add(pathToFileURL(realpathSync(path)).href);
    } catch {
      // `node -e` and programs that rewrite argv name no file.
    }
  };
  const entry = process.argv[1];
  if (process.mainModule?.filename !== undefined) add(process.mainModule.filename);
  if (entry === undefined) return urls;
  add(entry);
  try {
    // `node .` and `node app` leave the search for the file to Node.
    add(createRequire(pathToFileURL(`${process.cwd()}/`)).resolve(entry));
  } catch {
    // Not a file, as above.
  }
  return urls;
}

export class Modules {
  readonly #entries = entryUrls();
  /** CommonJS modules by what they export. */
  readonly #exports = new Map<unknown, string>();
  #loaded = 0;
  readonly #reaching = new Map<string, boolean>();
  readonly #exportTables = new Map<string, ReadonlyMap<string, string>>();
  readonly #tables = new Map<string, Map<string, ImportedName>>();

  /** The static imports of an ES module, by local name. */
  importsOf(script: ScriptView): ReadonlyMap<string, ImportedName> {
    let table = this.#tables.get(script.scriptId);
    if (table === undefined) {
      table = script.isModule ? importTable(script.source) : new Map<string, ImportedName>();
      this.#tables.set(script.scriptId, table);
    }
    return table;
  }

  /** A reference to what `importer` imports under a name, when workers can import it too. */
  imported(importer: ScriptView, { specifier, name }: ImportedName, localByValue: boolean): Reference | undefined {
    const path = name === "*" ? [] : [name];
    if (specifier.startsWith("node:")) return { k: "import", from: "", specifier, path };
    const url = resolved(specifier, importer.url);
    // Importing these takes an attribute, and they are plain data.
    if (url !== undefined && /\.(?:json|wasm)$/.test(url)) return undefined;
    const own = url === undefined ? undefined : ownFileOf(url);
    if (own !== undefined) return { k: "own", file: own, path };
    if (url === undefined || url.startsWith("node:")) return bare(specifier, importer.url, path);
    if (url.includes("/node_modules/")) return bare(specifier, importer.url, path);
    if (localByValue || !this.#isImportable(url) || !this.#isEvaluated(url)) return undefined;
    return { k: "import", from: "", specifier: url, path };
  }

  /** A reference to a function or class, found among the exports of the module its text is from. */
  exported(
    value: object, script: ScriptView, scopes: readonly ScopeView[], localByValue: boolean,
  ): Reference | undefined {
    const { url } = script;
    if (!url.startsWith("file:") || url.includes("?") || isCompiled(script)) return undefined;
    const own = ownFileOf(url);
    if (own !== undefined) return ownReference(value, script, own);
    if (!url.includes("/node_modules/") && (localByValue || !this.#isImportable(url))) return undefined;
    const namespace = this.#namespace(script);
    const path = namespace === undefined ? this.#exportedVariable(value, script, scopes) : exportPath(value, namespace);
    return path === undefined ? undefined : { k: "import", from: "", specifier: url, path };
  }

  /** Without the namespace of a module: by the variables it exports, which V8 shows to each of its functions. */
  #exportedVariable(value: object, script: ScriptView, scopes: readonly ScopeView[]): string[] | undefined {
    const variables = scopes.find(({ kind }) => kind === "module")?.values;
    if (variables === undefined || !script.url.includes("/node_modules/")) return undefined;
    let exports = this.#exportTables.get(script.scriptId);
    if (exports === undefined) this.#exportTables.set(script.scriptId, exports = exportTable(script.source));
    for (const [name, local] of exports) {
      if (Object.hasOwn(variables, local) && valueOf(variables, local) === value) return [name];
    }
    return undefined;
  }

  /** A reference to a whole CommonJS module by what it exports. */
  exporting(value: object, localByValue: boolean): Reference | undefined {
    const path = this.#exports.get(value);
    if (path === undefined) return undefined;
    const url = pathToFileURL(path).href;
    if (/\.json$/.test(path) || (!url.includes("/node_modules/") && (localByValue || !this.#isImportable(url)))) return undefined;
    return { k: "import", from: "", specifier: url, path: ["default"] };
  }

  /** A reference to a function or class by searching for it, in modules that the entry imports and CommonJS packages. */
  found(value: Function): Reference | undefined {
    const inFile = (url: string, namespace: object | undefined): Reference | undefined => {
      const path = exportPath(value, namespace);
      return path === undefined ? undefined : { k: "import", from: "", specifier: url, path };
    };
    for (const url of reachedFrom(this.#entries)) {
      const isModule = this.#isImportable(url) && /^\s*(?:import|export)\b/m.test(textOf(url));
      const reference = isModule ? inFile(url, this.#namespace({ url, isModule })) : undefined;
      if (reference !== undefined) return reference;
    }
    for (const [exports, file] of this.#exports) {
      const { href } = pathToFileURL(file);
      const isKnown = (href.includes("/node_modules/") || this.#isImportable(href)) && !types.isModuleNamespaceObject(exports);
      const reference = isKnown ? inFile(href, { default: exports }) : undefined;
      if (reference !== undefined) return reference;
    }
    return undefined;
  }

  /** Takes in what was loaded since the capture before. */
  refresh(): void {
    const { cache } = createRequire(import.meta.url);
    const paths = Object.keys(cache);
    if (paths.length === this.#loaded) return;
    this.#exports.clear();
    this.#loaded = paths.length;
    for (const path of paths) {
      const { exports, loaded } = cache[path] as { exports: unknown; loaded: boolean };
      // While a module is loading, its exports may still be replaced.
      if (!loaded) this.#loaded = -1;
      else if (((typeof exports === "object" && exports !== null) || typeof exports === "function") && path.startsWith("/")) {
        if (!this.#exports.has(exports) && !path.includes("?")) this.#exports.set(exports, path);
      }
    }
  }

  #isImportable(url: string): boolean {
    return !hasHooks && !url.includes("?") && !this.#reachesEntry(url);
  }

  /** Importing a module that imports the entry would run the program again in the worker. */
  #reachesEntry(url: string): boolean {
    if (this.#entries.has(url)) return true;
    const known = this.#reaching.get(url);
    if (known !== undefined) return known;
    // Modules may import one another in a circle.
    this.#reaching.set(url, false);
    const reaches = localImports(url).some((imported) => this.#reachesEntry(imported));
    this.#reaching.set(url, reaches);
    return reaches;
  }

  /** False while the module or one it imports is evaluating: it may be in a cycle with the entry. */
  #isEvaluated(url: string): boolean {
    if (!url.startsWith("file:")) return false;
    try {
      createRequire(url)(fileURLToPath(url));
      return true;
    } catch (error) {
      return (error as { code?: string }).code === "ERR_REQUIRE_ASYNC_MODULE";
    }
  }

  /** The namespace of a module that was evaluated, or a CommonJS module as importing it shows it. */
  #namespace({ url, isModule }: Pick<ScriptView, "url" | "isModule">): object | undefined {
    const path = fileURLToPath(url);
    const require = createRequire(url);
    const cached = require.cache[path] as { loaded: boolean; exports: unknown } | undefined;
    if (!isModule) return cached?.loaded === true ? { default: cached.exports } : undefined;
    if (hasTsx) return undefined;
    try {
      return require(path) as object;
    } catch {
      // Still evaluating, failed while it did, or no file at all (`node -e`): then its code travels by value.
      return undefined;
    }
  }
}

export function isCompiled(script: ScriptView): boolean {
  return script.source.startsWith(COMPILED_MARK);
}

/** Files that some files of the user import by path, and those that these import. */
function reachedFrom(urls: Iterable<string>): ReadonlySet<string> {
  const reached = new Set(urls);
  for (const url of reached) for (const imported of localImports(url)) reached.add(imported);
  return reached;
}

/** Of a file of the user; empty when it is gone since it was loaded: a worker can't load it either, and says so. */
function textOf(url: string): string {
  if (!url.startsWith("file:") || url.includes("/node_modules/")) return "";
  try {
    return readFileSync(new URL(url), "utf8");
  } catch {
    return "";
  }
}

const LOCAL_IMPORT = /(?:\bfrom|\bimport|\brequire\()\s*["'](\.{0,2}\/[^"'\n]+|file:[^"'\n]+)["']/g;

/** Files that a file of the user imports by path, as far as its text says so. */
function localImports(url: string): string[] {
  const found: string[] = [];
  for (const [, specifier] of textOf(url).matchAll(LOCAL_IMPORT)) {
    const imported = resolved(specifier, url);
    if (imported !== undefined) found.push(imported);
  }
  return found;
}

function bare(specifier: string, from: string, path: readonly string[]): Reference {
  return { k: "import", from, specifier, path };
}

/** Resolution as `require` does it: only its folder is used, the worker resolves again as `import` does. */
function resolved(specifier: string, from: string): string | undefined {
  if (specifier.startsWith("file:")) return specifier;
  try {
    if (/^\.{0,2}\//.test(specifier)) return pathToFileURL(realpathSync(fileURLToPath(new URL(specifier, from)))).href;
    const path = createRequire(from).resolve(specifier);
    return path.startsWith("/") ? pathToFileURL(path).href : `node:${path.replace(/^node:/, "")}`;
  } catch {
    // A package that only `import` can resolve, or one that is gone: the worker says which.
    return undefined;
  }
}

function ownReference(value: object, script: ScriptView, file: string): Reference | undefined {
  const { name } = value as { name?: unknown };
  if (typeof name !== "string" || !/^[\w$]+$/.test(name)) return undefined;
  const isExported = new RegExp(
    `export (?:async )?(?:function\\*?|class|const) ${name}\\b|export ?\\{[^}]*\\b${name}\\b[^}]*\\}|` +
      `__vite_ssr_export(?:s__,|Name__\\() ?"${name}"`,
  );
  return isExported.test(script.source) ? { k: "own", file, path: [name] } : undefined;
}

function exportPath(value: object, namespace: object | undefined): string[] | undefined {
  if (namespace === undefined) return undefined;
  const members = namespace as Record<string, unknown>;
  for (const key of Object.keys(members)) if (members[key] === value) return [key];
  const whole = members.default;
  if ((typeof whole !== "object" && typeof whole !== "function") || whole === null || types.isProxy(whole)) return undefined;
  for (const [key, { value: member }] of Object.entries(Object.getOwnPropertyDescriptors(whole))) {
    if (member === value) return ["default", key];
  }
  return undefined;
}

function valueOf(variables: object, name: string): unknown {
  try {
    return (variables as Record<string, unknown>)[name];
  } catch {
    // A binding without a value yet.
    return undefined;
  }
}

/** Names that a module exports of its own, and its variables of them. */
function exportTable(source: string): Map<string, string> {
  const table = new Map<string, string>();
  for (const statement of (parseSource(source, "module")?.body ?? []) as Tree[]) {
    const declaration = statement.declaration as Tree | null | undefined;
    if (statement.type === "ExportDefaultDeclaration" && declaration?.id) {
      table.set("default", (declaration.id as Tree).name as string);
    }
    if (statement.type !== "ExportNamedDeclaration" || statement.source) continue;
    const names = new Set<string>();
    if (declaration) declared([declaration], names, true);
    for (const name of names) table.set(name, name);
    for (const { local, exported } of statement.specifiers as { local: Tree; exported: Tree }[]) {
      table.set((exported.name ?? exported.value) as string, local.name as string);
    }
  }
  return table;
}

function importTable(source: string): Map<string, ImportedName> {
  const table = new Map<string, ImportedName>();
  for (const statement of (parseSource(source, "module")?.body ?? []) as Tree[]) {
    if (statement.type !== "ImportDeclaration") continue;
    const specifier = (statement.source as unknown as { value: string }).value;
    for (const one of statement.specifiers as Tree[]) {
      const local = (one.local as Tree).name as string;
      const from = one.imported as (Tree & { value?: string }) | undefined;
      const name = one.type === "ImportNamespaceSpecifier" ? "*" : ((from?.name ?? from?.value ?? "default") as string);
      table.set(local, { specifier, name });
    }
  }
  return table;
}
