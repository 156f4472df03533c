// The addon's typed face, and the only file that loads it.
//
// Without it (an unsupported platform, not built) `native` is undefined and `whyAbsent` says why: the runtime then keeps
// objects in the memory of one process and says so.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A mapping of a part of a memory: unmapped when it and every view of it were collected. */
export interface Mapping {
  readonly kind: "mapping";
}
/** Bytes on their way into a socket. */
export interface OutboxHandle {
  readonly kind: "outbox";
}
/** Of a socket: what its threads carry goes one way. */
export interface PorterHandle {
  readonly kind: "porter";
}

/** Native threads that carry bytes between stream sockets and memory. */
export interface Porters {
  /**
   * Duplicates the descriptor. `told` says on the loop what is left to carry and the CRC-32 of what was received: when a load
   * has been carried, once a second while bytes move, and with an errno when the connection can't go on. Throws EMFILE.
   */
  openPorter(fd: number, told: (error: number, left: number, sum: number) => void): PorterHandle;
  /** One range at a time, of which the first `have` bytes are there. Throws EPIPE after an error. */
  porterReceive(porter: PorterHandle, buffer: ArrayBufferLike, offset: number, length: number, have: number): void;
  /** Copies `length` bytes of `head`; `bytes` leave from where they lie. What is left to carry. Throws EPIPE after an error. */
  porterSend(porter: PorterHandle, head: Uint8Array, length: number, bytes: Uint8Array | undefined): number;
  /** From now on it reads from nobody's memory and writes to none. Idempotent. */
  porterClose(porter: PorterHandle): void;
}

/** An addon that was built before there were porters has none. */
export interface Native extends Partial<Porters> {
  /** A memory without a name: its file descriptor. Throws ENOMEM, EMFILE. */
  createMemory(bytes: number): number;
  /** The bytes stay until the last mapping is gone. */
  closeMemory(fd: number): void;
  /** The file has blocks for the range from now on. Throws ENOSPC, and EOPNOTSUPP where the file system can't promise that. */
  reserve(fd: number, offset: number, length: number): void;
  /** The blocks of the range go back to the disk; it reads as zeros. Throws EOPNOTSUPP. */
  punch(fd: number, offset: number, length: number): void;
  /** Shared, writable; less than 4 GiB on Node 20. Unmapped when the buffer is collected. */
  mapShared(path: string, offset: number, length: number): ArrayBuffer;
  /** A part of a memory: shared and writable, or copy on write. */
  mapRange(path: string, offset: number, length: number, shared: boolean): Mapping;
  /** A part of a mapping; nothing is copied, except from 4 GiB on by Node 20. */
  view(mapping: Mapping, offset: number, length: number): ArrayBuffer;
  /** Drops the private pages of a range: the next look shows what is shared. */
  dontNeed(mapping: Mapping, offset: number, length: number): void;
  /** The same off the event loop, for ranges that take long. */
  dropPages(mapping: Mapping, offset: number, length: number): Promise<void>;
  /** Whether this process wrote to that range of a private mapping: then it has pages of its own there. */
  isWritten(mapping: Mapping, offset: number, length: number): boolean;
  /** Length 0 from now on, for every view of it. */
  detach(buffer: ArrayBuffer): void;
  /** Off the event loop, on two threads. Neither buffer may be detached before it is done. */
  copy(
    target: ArrayBuffer | Mapping, targetOffset: number, source: ArrayBuffer, sourceOffset: number, length: number,
  ): Promise<void>;
  /** Allocates the pages of shared memory, off the event loop. Rejects with ENOMEM where a write would raise SIGBUS. */
  populate(target: ArrayBuffer | Mapping, offset: number, length: number): Promise<void>;
  /** When the other end of this descriptor is closed, this process ends, its groups and files with it, blocked loop or not. */
  watchLifeline(fd: number): void;
  addGroup(pid: number): void;
  removeGroup(pid: number): void;
  removeAtEnd(path: string): void;
  /**
   * A client's block of a control memory: its first word gets the monotonic time every half second, blocked loop or not, and
   * its words from `pinsOffset` on are cleared when this thread's environment ends without `leaveBlock`.
   */
  joinBlock(path: string, offset: number, bytes: number, pinsOffset: number): number;
  leaveBlock(block: number): void;
  /** Milliseconds, 31 bits: what heartbeats are compared with. */
  monotonicMs(): number;
  /** Duplicates the descriptor of a stream socket. */
  openOutbox(fd: number): OutboxHandle;
  /**
   * Bytes that did not leave yet, or a negative errno. Without `flushNow` they leave with the next flush or within a
   * millisecond.
   */
  outboxAppend(outbox: OutboxHandle, bytes: Uint8Array, offset: number, length: number, flushNow: boolean): number;
  outboxFlush(outbox: OutboxHandle): number;
  outboxPending(outbox: OutboxHandle): number;
  /** What is pending is dropped. Idempotent. */
  outboxClose(outbox: OutboxHandle): void;
  /** Of the process at the other end of a Unix socket: [pid, uid, gid]. */
  peerCredentials(fd: number): [number, number, number];
  setSubreaper(): void;
  /** CRC-32 of what `sum` is the sum of, followed by `bytes`. Not in an addon that was built before there was this. */
  crc32?(bytes: Uint8Array, sum?: number): number;
  /** A second SIGINT ends the process when the loop has not turned since the first. After Node has begun to listen for it. */
  watchInterrupts(): void;
  /** The loop has turned. */
  interruptSeen(): void;
}

/** That of native/src/addon.c. One that says none has the first. */
export const REVISION = 1;
const NEWEST = ["isWritten", "peerCredentials", "watchInterrupts"] as const;

const FILE = "troupe_native.node";
let reason: string | undefined;
let isOfAnotherBuild = false;

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const manifest = join(folder, "package.json");
    if (existsSync(manifest) && (JSON.parse(readFileSync(manifest, "utf8")) as { name?: string }).name === "troupe")
      return folder;
    const parent = dirname(folder);
    if (parent === folder) throw new Error(bundledText());
    folder = parent;
  }
}

/** Its programs and its addon are files of their own. */
function bundledText(): string {
  return `${fileURLToPath(import.meta.url)} has troupe bundled into it, whose programs and addon are not there: keep it a ` +
    "package of its own, as for esbuild with --external:troupe";
}

function load(): Native | undefined {
  const root = packageRoot();
  // What was built here is never older than what was copied from it for a package.
  const places = [
    join(root, "native", "build", "Release", FILE),
    join(root, "native", "prebuilds", `${process.platform}-${process.arch}`, FILE),
  ];
  const found = places.find((place) => existsSync(place));
  if (found === undefined) {
    const platform = `${process.platform}-${process.arch}`;
    reason = `no addon for ${platform}: there is neither ${places.join(" nor ")}; ${howToBuild(root)} makes it`;
    return undefined;
  }
  try {
    const addon = createRequire(import.meta.url)(found) as Native & { readonly revision?: number };
    const stale = staleness(addon);
    if (stale === undefined) return addon;
    reason = `the addon ${found} ${stale}: ${howToBuild(root)} makes it again`;
    isOfAnotherBuild = true;
    return undefined;
  } catch (error) {
    reason = `the addon ${found} can't be loaded: ${(error as Error).message}`;
    return undefined;
  }
}

/** Packages have no scripts, and no addon for platforms that nobody built one for. */
export function howToBuild(root = packageRoot()): string {
  return existsSync(join(root, "scripts")) ? "npm run build" : `npx node-gyp rebuild -C ${join(root, "native")}`;
}

/** Why an addon that can be loaded does not fit this code; undefined when it does. */
export function staleness(addon: object): string | undefined {
  const { revision = 1 } = addon as { readonly revision?: number };
  if (revision !== REVISION) return `was built from other sources (revision ${revision}, and ${REVISION} is needed)`;
  const missing = NEWEST.filter((name) => !(name in addon));
  return missing.length === 0 ? undefined : `was built from older sources (it has no ${missing.join(", ")})`;
}

export const native: Native | undefined = load();

/** It is there, and was built from other sources than this code. */
export function isStale(): boolean {
  return isOfAnotherBuild;
}

/** Why `native` is undefined; undefined when it is there. */
export function whyAbsent(): string | undefined {
  return reason;
}
