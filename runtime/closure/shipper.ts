// The shipper of a process: captures once a function, revives once an id, and knows both again.

import { finalizers } from "../finalizers.ts";
import { once, Recent } from "../core/index.ts";
import { CaptureError } from "../errors.ts";
import { warn } from "../warnings.ts";
import { warmParser } from "./analyze.ts";
import { Capture } from "./capture.ts";
import type { CapturedCode, CaptureOptions, CodeShipper as Contract } from "./contract.ts";
import { type FileNames, namedByOrigin, namedHere } from "./file-names.ts";
import { type KnownClasses, ownClasses } from "./identity.ts";
import { Inspector } from "./inspector.ts";
import { warmTables } from "./intrinsics.ts";
import { Modules } from "./modules.ts";
import type { Originals } from "./originals.ts";
import { placeOf } from "./drafts.ts";
import { type Label, labelFrom, labelOf, variableBefore } from "./label.ts";
import {
  contentHash, type DataHook, decodePayload, encodePayload, needsOf, type Payload, type PayloadNode, type TravelHook,
} from "./payload.ts";
import type { Trail } from "./refusal.ts";
import { Revival } from "./revive.ts";
import { placesOf } from "./source-maps.ts";
import { firstChange } from "./staleness.ts";

export interface CodeShipper extends Contract {
  /** Captures a function that is asked about once: nothing of it is kept here. */
  captureOnce(fn: Function): CapturedCode;
  /** Loads what the first capture needs. Call it while something else is waited for. */
  warmUp(): void;
}
/** How refs and actor handles inside captured code travel. Without a hook, code that captures one is refused. */
export interface ShipperHooks {
  readonly ref?: TravelHook;
  readonly handle?: TravelHook;
  /** Where this process has the files that code names, if not where its maker has them. */
  readonly files?: FileNames | undefined;
  /** Without it, large data travels inside the code. */
  readonly data?: DataHook | undefined;
  /** Where code of other workers is in this process too. */
  readonly originals?: Originals | undefined;
  /** A worker that is a place in a process knows other classes than the process. */
  readonly classes?: KnownClasses | undefined;
}

export function createShipper(hooks: ShipperHooks = {}): CodeShipper {
  return new Shipper(hooks);
}

const WARNING_BYTES = 1 << 20;
/** Functions by name and place: one that is made in a loop is told of once. */
const warned = new Recent<string, true>(1000);

/** One session for all shippers of a process: V8 tells each session of every script. */
let inspector: Inspector | undefined;
let modules: Modules | undefined;
const origins = new WeakMap<object, PayloadNode>();

class Shipper implements CodeShipper {
  readonly #hooks: ShipperHooks;
  readonly #captured = new WeakMap<Function, Map<CaptureOptions["mode"], CapturedCode>>();
  readonly #reviving = new Map<string, Promise<Function>>();
  readonly #known = new Map<string, WeakRef<Function>>();
  readonly #dropped = finalizers((id: string) => {
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

  captureOnce(fn: Function): CapturedCode {
    return this.#captured.get(fn)?.get("auto") ?? this.#captureNow(fn, "auto");
  }

  revive(id: string, bytes: Uint8Array): Promise<Function> {
    return once(this.#reviving, id, () => this.#reviveNow(id, bytes));
  }

  known(id: string): Function | undefined {
    return this.#known.get(id)?.deref() ?? this.#hooks.originals?.find(id);
  }

  warmUp(): void {
    warmTables();
    warmParser();
    if (inspector !== undefined || !canLook()) return;
    // A capture of something small makes V8 list the scripts, the larger part of a first capture.
    const sample = inspectorOf().lookAt(createShipper);
    inspectorOf().script(sample.location?.scriptId ?? "");
  }

  changed(fn: Function, { mode }: CaptureOptions = { mode: "auto" }): string | undefined {
    const captured = this.#captured.get(fn)?.get(mode);
    if (captured === undefined) return undefined;
    const { files, ref, handle, data } = this.#hooks;
    const now = (hook: TravelHook | undefined) => hook && { ...hook, encode: (value: object) => hook.identity(value) };
    try {
      const { payload } = payloadOf(fn, mode, {
        files, ref: now(ref), handle: now(handle), data: data && { ...data, keep: contentHash },
      });
      return firstChange(decodePayload(captured.bytes), payload);
    } catch (error) {
      // What was captured and can't be any more has changed.
      if (error instanceof CaptureError) return error.variable;
      throw error;
    }
  }

  #captureNow(fn: Function, mode: CaptureOptions["mode"]): CapturedCode {
    const { payload, name, capture, trail } = payloadOf(fn, mode, this.#hooks);
    const { id, bytes } = encodePayload(payload);
    this.#hooks.originals?.add(id, fn, payload.root, capture);
    const size = bytes.length + capture.keptBytes;
    capture.refuseLarge(size, trail);
    if (size > WARNING_BYTES && !warned.has(payload.label)) warnLarge(payload.label, size, capture.largest());
    return { id, bytes, needs: needsOf(payload), name, label: payload.label, kind: isClass(fn) ? "class" : "function" };
  }

  async #reviveNow(id: string, bytes: Uint8Array): Promise<Function> {
    const known = this.known(id);
    if (known !== undefined) return known;
    const payload = namedHere(decodePayload(bytes), this.#hooks.files);
    const { ref, handle, data, classes = ownClasses } = this.#hooks;
    const fn = await new Revival(payload, { ref, handle, data, origins, classes }).run();
    this.#remember(id, fn);
    const { name, text: label } = labelFrom(payload.label);
    const captured: CapturedCode = {
      id, bytes, needs: needsOf(payload), name, label, kind: isClass(fn) ? "class" : "function",
    };
    if (!this.#captured.has(fn)) this.#captured.set(fn, new Map([["auto", captured]]));
    return fn;
  }

  #remember(id: string, fn: Function): void {
    if (this.known(id) !== undefined) return;
    this.#known.set(id, new WeakRef(fn));
    this.#dropped.register(fn, id);
  }
}

function payloadOf(fn: Function, mode: CaptureOptions["mode"], { files, ref, handle, data }: ShipperHooks) {
  modules ??= new Modules();
  const capture = new Capture({ canLook, inspector: inspectorOf, modules, origins, ref, handle, data }, mode);
  const trail = rootTrail(fn, capture);
  const root = capture.run(fn, trail);
  const { name, text: label } = labelIn(capture, fn, root as number);
  const { serializers } = capture;
  const payload: Payload = {
    version: 1, root, label, nodes: namedByOrigin(capture.nodes, files), ...(serializers.length === 0 ? {} : { serializers }),
  };
  return { payload, name, capture, trail };
}

let isBlind = false;

/** Whether this process has an inspector that shows functions. If it has none, that is said once. */
function canLook(): boolean {
  if (inspector !== undefined || isBlind) return !isBlind;
  try {
    const first = new Inspector();
    if (first.lookAt(canLook).location === undefined) throw new Error("V8 doesn't show functions");
    inspector = first;
  } catch (error) {
    isBlind = true;
    warn("TROUPE_REFERENCE_ONLY",
      "this process has no inspector, so only functions and classes that a module other than the program's entry exports can " +
        `go to workers (${(error as Error).message.trim()}). --allow-inspector lifts this where Node.js has it.`);
  }
  return !isBlind;
}

function inspectorOf(): Inspector {
  inspector ??= new Inspector();
  return inspector;
}

/** The first step of all messages about a capture; looked for when there is one. */
function rootTrail(fn: Function, capture: Capture): Trail {
  const name = (): string => fn.name || unnamed(fn, capture).name;
  return {
    parent: undefined,
    get step() { return name(); },
    get variable() { return name(); },
  };
}

function unnamed(fn: Function, { parts }: Capture): Label {
  if (!parts.canLook()) return labelOf("", undefined, undefined);
  const { location } = parts.inspector().lookAt(fn);
  const script = location && parts.inspector().script(location.scriptId);
  if (script === undefined || location === undefined) return labelOf("", undefined, undefined);
  const { position, offset } = placeOf(Function.prototype.toString.call(fn), location, script);
  return labelOf(variableBefore({ script, offset }), position, placesOf(script));
}

function labelIn(capture: Capture, fn: Function, root: number): Label {
  const node = capture.nodes[root];
  const draft = fn.name === "" ? capture.drafts.find(({ index }) => index === root) : undefined;
  const name = draft === undefined ? fn.name : variableBefore(draft);
  return "position" in node ? labelOf(name, node.position, node.map) : labelOf(name, undefined, undefined);
}

function isClass(fn: Function): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn));
}

function warnLarge(label: string, bytes: number, largest: ReturnType<Capture["largest"]>): void {
  warned.set(label, true);
  const most = largest === undefined ? "" : `, ${mebibytes(largest.bytes)} of it in "${largest.variable}"`;
  const text = `${label} takes ${mebibytes(bytes)} of captured data to its workers${most}: ` +
    "put() the data in the object store and capture or pass the ref.";
  warn("TROUPE_LARGE_CAPTURE", text);
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}
