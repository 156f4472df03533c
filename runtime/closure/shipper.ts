// The shipper of a process: captures once a function, revives once an id, and knows both again.

import { findSourceMap } from "node:module";
import { fileURLToPath } from "node:url";
import { warmParser } from "./analyze.ts";
import { Capture } from "./capture.ts";
import type { CapturedCode, CaptureOptions, CodeShipper as Contract } from "./contract.ts";
import { type FileNames, namedByOrigin, namedHere } from "./file-names.ts";
import { Inspector } from "./inspector.ts";
import { warmTables } from "./intrinsics.ts";
import { Modules } from "./modules.ts";
import { decodePayload, encodePayload, type PayloadNode, type Position, type TravelHook } from "./payload.ts";
import { refusal } from "./refusal.ts";
import { Revival } from "./revive.ts";

export interface CodeShipper extends Contract {
  /** Loads what the first capture needs. Call it while something else is waited for. */
  warmUp(): void;
}
/** How refs and actor handles inside captured code travel. Without a hook, code that captures one is refused. */
export interface ShipperHooks {
  readonly ref?: TravelHook;
  readonly handle?: TravelHook;
  /** Where this process has the files that code names, if not where its maker has them. */
  readonly files?: FileNames | undefined;
}

export function createShipper(hooks: ShipperHooks = {}): CodeShipper {
  return new Shipper(hooks);
}

const WARNING_BYTES = 1 << 20;

/** One session for all shippers of a process: V8 tells each session of every script. */
let inspector: Inspector | undefined;
let modules: Modules | undefined;
const origins = new WeakMap<object, PayloadNode>();

class Shipper implements CodeShipper {
  readonly #hooks: ShipperHooks;
  readonly #captured = new WeakMap<Function, Map<CaptureOptions["mode"], CapturedCode>>();
  readonly #revived = new Map<string, Promise<Function>>();
  readonly #known = new Map<string, WeakRef<Function>>();
  readonly #dropped = new FinalizationRegistry((id: string) => {
    if (this.#known.get(id)?.deref() === undefined) this.#known.delete(id);
  });

  constructor(hooks: ShipperHooks) {
    this.#hooks = hooks;
  }

  capture(fn: Function, { mode }: CaptureOptions = { mode: "auto" }): CapturedCode {
    let byMode = this.#captured.get(fn);
    const known = byMode?.get(mode);
    if (known !== undefined) return known;
    const captured = this.#captureNow(fn, mode);
    if (byMode === undefined) {
      byMode = new Map();
      this.#captured.set(fn, byMode);
    }
    byMode.set(mode, captured);
    this.#remember(captured.id, fn);
    return captured;
  }

  revive(id: string, bytes: Uint8Array): Promise<Function> {
    let reviving = this.#revived.get(id);
    if (reviving === undefined) {
      reviving = this.#reviveNow(id, bytes);
      this.#revived.set(id, reviving);
    }
    return reviving;
  }

  known(id: string): Function | undefined {
    return this.#known.get(id)?.deref();
  }

  warmUp(): void {
    warmTables();
    warmParser();
    if (inspector !== undefined) return;
    try {
      // A capture of something small makes V8 list the scripts, the larger part of a first capture.
      const sample = inspectorOf("warmUp").lookAt(createShipper);
      inspectorOf("warmUp").script(sample.location?.scriptId ?? "");
    } catch (error) {
      // A process without an inspector still ships what can be imported: the capture that needs more says so.
      if ((error as { captureCode?: string }).captureCode !== "CAPTURE_NO_INSPECTOR") throw error;
    }
  }

  #captureNow(fn: Function, mode: CaptureOptions["mode"]): CapturedCode {
    modules ??= new Modules();
    const label = fn.name || "anonymous";
    const { ref, handle } = this.#hooks;
    const capture = new Capture({ inspector: () => inspectorOf(label), modules, origins, ref, handle }, mode);
    const trail = { parent: undefined, step: label, variable: label };
    const root = capture.run(fn, trail);
    const node = capture.nodes[root as number];
    const text = "position" in node ? `${label} (${placeOf(node.position)})` : label;
    const nodes = namedByOrigin(capture.nodes, this.#hooks.files);
    const { id, bytes } = encodePayload({ version: 1, root, label: text, nodes });
    capture.refuseLarge(bytes.length, trail);
    if (bytes.length > WARNING_BYTES) warnLarge(text, bytes.length, capture.largest());
    return { id, bytes, label: text, kind: isClass(fn) ? "class" : "function" };
  }

  async #reviveNow(id: string, bytes: Uint8Array): Promise<Function> {
    const known = this.known(id);
    if (known !== undefined) return known;
    const payload = namedHere(decodePayload(bytes), this.#hooks.files);
    const { ref, handle } = this.#hooks;
    const fn = await new Revival(payload, { ref, handle, origins }).run();
    this.#remember(id, fn);
    const captured: CapturedCode = { id, bytes, label: payload.label, kind: isClass(fn) ? "class" : "function" };
    if (!this.#captured.has(fn)) this.#captured.set(fn, new Map([["auto", captured]]));
    return fn;
  }

  #remember(id: string, fn: Function): void {
    if (this.known(id) !== undefined) return;
    this.#known.set(id, new WeakRef(fn));
    this.#dropped.register(fn, id);
  }
}

function inspectorOf(label: string): Inspector {
  try {
    inspector ??= new Inspector();
    return inspector;
  } catch (error) {
    const failed = refusal("CAPTURE_NO_INSPECTOR", `this process has no inspector (${(error as Error).message})`,
      { parent: undefined, step: label, variable: label }, "run it with --allow-inspector, or without the permission model.");
    failed.cause = error;
    throw failed;
  }
}

function isClass(fn: Function): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn));
}

function warnLarge(label: string, bytes: number, variable: string | undefined): void {
  const most = variable === undefined ? "" : `, most of it in "${variable}"`;
  const text = `${label} takes ${(bytes / (1 << 20)).toFixed(1)} MiB of captured data to each worker${most}: ` +
    "put() the data in the object store and pass the ref.";
  process.emitWarning(text, { type: "TroupeWarning", code: "TROUPE_LARGE_CAPTURE" });
}

/** `train.ts:41:17`, counted from one as editors do, and in the file as it was written. */
function placeOf({ file, line, column }: Position): string {
  const place = `${file.slice(file.lastIndexOf("/") + 1)}:${line + 1}:${column + 1}`;
  if (!file.startsWith("file:")) return place;
  const entry = findSourceMap(fileURLToPath(file))?.findEntry(line, column);
  if (entry === undefined || !("originalLine" in entry)) return place;
  const { originalSource, originalLine, originalColumn } = entry;
  return `${originalSource.slice(originalSource.lastIndexOf("/") + 1)}:${originalLine + 1}:${originalColumn + 1}`;
}
