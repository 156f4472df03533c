// Classes that are the same class in every process: by their place in the source, their text, and which of several made there.
//
// A worker that gets a class in two payloads makes it once, and an instance that comes back to the process that defined its class
// is an instance of that class.

import { finalizers } from "../finalizers.ts";
import { createHash } from "node:crypto";
import type { Originals } from "./originals.ts";
import type { ClassNode, Position, Property, Slot } from "./payload.ts";

/** What makes instances of a revived class: the way to its private fields. */
export interface KnownClass {
  readonly type: Function;
  /** Undefined for a class this process defined itself. */
  readonly runtime: object | undefined;
}
interface Entry {
  readonly type: WeakRef<Function>;
  readonly runtime: WeakRef<object> | undefined;
  readonly signature: string | undefined;
}

const tracks = new WeakMap<Function, string>();
const runtimes = new WeakMap<Function, object>();
const counts = new Map<string, number>();

/** The classes that a process, or a worker that is a place in one, knows by their tracks. */
export class KnownClasses {
  readonly #entries = new Map<string, Entry>();
  readonly #originals: Pick<Originals, "findClass"> | undefined;
  readonly #dropped = finalizers((track: string) => {
    if (this.#entries.get(track)?.type.deref() === undefined) this.#entries.delete(track);
  });

  constructor(originals?: Pick<Originals, "findClass">) {
    this.#originals = originals;
  }

  /** The class of a track: this process's own, or one revived from a node that says the same. */
  find(node: ClassNode): KnownClass | undefined {
    const entry = this.#entries.get(node.track);
    const type = entry?.type.deref();
    if (entry === undefined || type === undefined) {
      const original = this.#originals?.findClass(node.track);
      return original && { type: original, runtime: undefined };
    }
    if (entry.signature !== undefined && entry.signature !== signatureOf(node)) return undefined;
    return { type, runtime: entry.runtime?.deref() };
  }

  revived(type: Function, node: ClassNode, runtime: object): void {
    runtimes.set(type, runtime);
    this.register(type, node.track, runtime, signatureOf(node));
  }

  register(type: Function, track: string, runtime: object | undefined, signature: string | undefined): void {
    tracks.set(type, track);
    const weak = runtime === undefined ? undefined : new WeakRef(runtime);
    this.#entries.set(track, { type: new WeakRef(type), runtime: weak, signature });
    this.#dropped.register(type, track);
  }
}

export const ownClasses = new KnownClasses();

/** The name of a class for all processes. Classes of one place are told apart by the order of their first captures. */
export function trackOf(type: Function, text: string, { file, line, column }: Position): string {
  let track = tracks.get(type);
  if (track === undefined) {
    const place = createHash("sha256").update(`${file}|${line}|${column}|${text}`).digest("hex").slice(0, 24);
    const count = (counts.get(place) ?? 0) + 1;
    counts.set(place, count);
    track = `${place}.${count}`;
    ownClasses.register(type, track, undefined, undefined);
  }
  return track;
}

/** What a node says, without the numbers of other nodes: those differ from payload to payload. */
function signatureOf(node: ClassNode): string {
  const shown = (slot: Slot | undefined): string => (
    typeof slot === "number" || slot === undefined ? "" : `${typeof slot[0]} ${String(slot[0])}`
  );
  const named = (all: readonly Property[] = []): string[][] => (
    all.map(({ key, value }) => [typeof key === "string" ? key : "", shown(value)])
  );
  const pairs = (all: ClassNode["names"]): string[][] => all.map(([name, slot]) => [name, shown(slot)]);
  return JSON.stringify([node.text, pairs(node.names), named(node.props), named(node.shared), pairs(node.privates)]);
}
