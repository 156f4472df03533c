// The addon's typed face, and the only file that loads it.
//
// Without it (an unsupported platform, not built) `native` is undefined and `whyAbsent` says why: the runtime then keeps objects in
// the memory of one process and says so.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface Native {
  /** A memory without a name: its file descriptor. Throws ENOMEM, EMFILE. */
  createMemory(bytes: number): number;
  /** Shared, writable. `populate` maps all pages at once. Unmapped when the buffer is collected. */
  mapShared(path: string, offset: number, length: number, populate: boolean): ArrayBuffer;
  /** The whole of a memory, copy on write, for the life of the process. */
  mapPrivate(path: string, length: number): number;
  /** A part of a private mapping; nothing is copied. At most 4 GiB on Node 20. */
  viewPrivate(mapping: number, offset: number, length: number): ArrayBuffer;
  /** Drops the private pages of a range: the next look shows what is shared. */
  dontNeed(mapping: number, offset: number, length: number): void;
  /** Length 0 from now on, for every view of it. */
  detach(buffer: ArrayBuffer): void;
  /** Off the event loop, on two threads. */
  copy(target: ArrayBuffer, targetOffset: number, source: ArrayBuffer, sourceOffset: number, length: number): Promise<void>;
  /** When the other end of this descriptor is closed, this process ends, its groups and files with it, blocked loop or not. */
  watchLifeline(fd: number): void;
  addGroup(pid: number): void;
  removeGroup(pid: number): void;
  removeAtEnd(path: string): void;
  /** Writes the monotonic time into that word every half second, blocked loop or not. */
  beatInto(buffer: ArrayBuffer, byteOffset: number): void;
  /** Milliseconds, 31 bits: what heartbeats are compared with. */
  monotonicMs(): number;
  /** Of the process at the other end of a Unix socket: [pid, uid, gid]. */
  peerCredentials(fd: number): [number, number, number];
  setSubreaper(): void;
}

const FILE = "troupe_native.node";
let reason: string | undefined;

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, "utf8")) as { name?: string }).name === "troupe") return folder;
    const parent = dirname(folder);
    if (parent === folder) throw new Error("the package of this file was not found");
    folder = parent;
  }
}

function load(): Native | undefined {
  const root = packageRoot();
  const places = [
    join(root, "native", "prebuilds", `${process.platform}-${process.arch}`, FILE),
    join(root, "native", "build", "Release", FILE),
  ];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    reason = `no addon for ${process.platform}-${process.arch}; looked for ${places.join(" and ")} (npm run build makes it)`;
    return undefined;
  }
  try {
    return createRequire(import.meta.url)(found) as Native;
  } catch (error) {
    reason = `the addon ${found} can't be loaded: ${(error as Error).message}`;
    return undefined;
  }
}

export const native: Native | undefined = load();

/** Why `native` is undefined; undefined when it is there. */
export function whyAbsent(): string | undefined {
  return reason;
}
