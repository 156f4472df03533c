// Packs a folder: what of it goes along, within its limits, as pieces of memory and the hash of them all.

import { createHash } from "node:crypto";
import { lstat, readdir, readFile, readlink, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, relative } from "node:path";
import { InvalidArgumentError } from "../errors.ts";
import { ENTRIES_MAX, KINDS, leadsOut, MAGIC, pathProblem } from "./archive.ts";
import type { BlobId } from "./definition.ts";
import { IgnoreRules } from "./ignore-rules.ts";

export const FOLDER_BYTES_MAX = 100 * 1024 * 1024;
/** Left out, unless a file of patterns says otherwise. */
const LEFT_OUT = ["node_modules", ".git"];
/** Where patterns are found: the first of these that a folder has. */
const PATTERN_FILES = [".troupeignore", ".gitignore"];
const LARGEST_NAMED = 5;

export interface PackedFolder {
  readonly blob: BlobId;
  readonly bytes: number;
  /** Of the packed bytes, across the pieces they are in. */
  slice(offset: number, length: number): Uint8Array;
}

interface Found {
  readonly path: string;
  readonly kind: "folder" | "file" | "program" | "link";
  readonly bytes: number;
  readonly target: string;
}

/** @throws InvalidArgumentError for a folder that is not there, is too large, or has links that lead out of it. */
export async function packFolder(folder: string, maxBytes = FOLDER_BYTES_MAX): Promise<PackedFolder> {
  const root = await rootOf(folder);
  const pieces: Uint8Array[] = [MAGIC];
  const found = await list(root).catch(unreadable(folder));
  checkSize(folder, found, maxBytes);
  checkLinks(folder, found);
  for (const entry of found) await pack(root, entry, pieces).catch(unreadable(folder));
  const end = Buffer.alloc(5);
  end.writeUInt8(KINDS.end, 0);
  end.writeUInt32LE(found.length, 1);
  pieces.push(end);
  return packed(pieces);
}

async function rootOf(folder: string): Promise<string> {
  try {
    const root = await realpath(folder);
    if ((await lstat(root)).isDirectory()) return root;
  } catch (error) {
    unreadable(folder)(error);
  }
  throw new InvalidArgumentError(`workingDir ${folder} is no folder`);
}

/** For what the system says of a file of it, which names the file. */
function unreadable(folder: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof InvalidArgumentError) throw error;
    throw new InvalidArgumentError(`workingDir ${folder} can't be read: ${(error as Error).message}`, {}, error);
  };
}

/** Folders before what is in them, names in one order on every machine. */
async function list(root: string): Promise<Found[]> {
  const found: Found[] = [];
  const visit = async (below: string, above: IgnoreRules): Promise<void> => {
    const names = (await readdir(join(root, below))).sort();
    const patterns = PATTERN_FILES.find((name) => names.includes(name));
    const rules = patterns === undefined ? above : above.with(below, await readFile(join(root, below, patterns), "utf8"));
    for (const name of names) {
      if (found.length >= ENTRIES_MAX) return;
      const path = below + name;
      const stats = await lstat(join(root, path));
      if (rules.isIgnored(path, stats.isDirectory())) continue;
      const problem = pathProblem(path);
      if (problem !== undefined) throw new InvalidArgumentError(`workingDir: ${JSON.stringify(path)} ${problem}`);
      if (stats.isDirectory()) {
        found.push({ path, kind: "folder", bytes: 0, target: "" });
        await visit(`${path}/`, rules);
      } else if (stats.isFile()) {
        found.push({ path, kind: (stats.mode & 0o100) === 0 ? "file" : "program", bytes: stats.size, target: "" });
      } else if (stats.isSymbolicLink()) {
        found.push({ path, kind: "link", bytes: 0, target: await targetOf(root, path) });
      }
      // Sockets, pipes and devices are of this machine and stay here.
    }
  };
  await visit("", IgnoreRules.of(LEFT_OUT));
  return found;
}

/** Relative to the link, also where it was written absolute. */
async function targetOf(root: string, path: string): Promise<string> {
  const target = await readlink(join(root, path));
  return isAbsolute(target) ? relative(dirname(join(root, path)), target) : target;
}

function checkSize(folder: string, found: readonly Found[], maxBytes: number): void {
  if (found.length >= ENTRIES_MAX) {
    throw new InvalidArgumentError(`workingDir ${folder} has ${ENTRIES_MAX} files or more; ${REMEDY}`);
  }
  const bytes = found.reduce((sum, entry) => sum + entry.bytes, 0);
  if (bytes <= maxBytes) return;
  const largest = [...found].sort((a, b) => b.bytes - a.bytes).slice(0, LARGEST_NAMED);
  const named = largest.filter((entry) => entry.bytes > 0).map((entry) => `${entry.path} (${sizeText(entry.bytes)})`).join(", ");
  throw new InvalidArgumentError(
    `workingDir ${folder} has ${sizeText(bytes)}; ${sizeText(maxBytes)} are sent at most. The largest: ${named}. ${REMEDY}, ` +
      "put() large data, or allow more with workingDir: { path, maxBytes }",
  );
}

const REMEDY = "Name what the work does not need in .troupeignore";

function checkLinks(folder: string, found: readonly Found[]): void {
  const links = new Map(found.filter(({ kind }) => kind === "link").map(({ path, target }) => [path, target]));
  const out = leadsOut(links);
  if (out === undefined) return;
  const text = `workingDir ${folder}: link ${out} leads out of the folder, to ${links.get(out)}`;
  throw new InvalidArgumentError(`${text}. Name it in .troupeignore, or put what it leads to in its place`);
}

function sizeText(bytes: number): string {
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

async function pack(root: string, { path, kind, target }: Found, pieces: Uint8Array[]): Promise<void> {
  pieces.push(Buffer.from([KINDS[kind]]), textOf(path));
  if (kind === "link") pieces.push(textOf(target));
  if (kind !== "file" && kind !== "program") return;
  const content = await readFile(join(root, path));
  const size = Buffer.alloc(6);
  // What was read counts: the file may have changed since it was listed.
  size.writeUIntLE(content.length, 0, 6);
  pieces.push(size, content);
}

function textOf(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}

function packed(pieces: readonly Uint8Array[]): PackedFolder {
  const hash = createHash("sha256");
  const starts: number[] = [];
  let bytes = 0;
  for (const piece of pieces) {
    hash.update(piece);
    starts.push(bytes);
    bytes += piece.length;
  }
  const slice = (offset: number, length: number): Uint8Array => {
    const part = Buffer.allocUnsafe(Math.max(0, Math.min(length, bytes - offset)));
    let at = pieceAt(starts, offset);
    for (let filled = 0; filled < part.length; at += 1) {
      const from = offset + filled - starts[at];
      const taken = pieces[at].subarray(from, from + part.length - filled);
      part.set(taken, filled);
      filled += taken.length;
    }
    return part;
  };
  return { blob: hash.digest("hex"), bytes, slice };
}

/** The last piece that starts at or before the offset. */
function pieceAt(starts: readonly number[], offset: number): number {
  let low = 0;
  let high = starts.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle] <= offset) low = middle;
    else high = middle - 1;
  }
  return low;
}
