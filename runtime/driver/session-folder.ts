// The folders of this user's sessions: one each, for sockets, logs and the token. Nobody else can look into them.

import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { PermissionDeniedError } from "../errors.ts";

/** Longest path of a Unix socket that every system takes. */
const SOCKET_PATH_MAX = 103;
const SESSION_PREFIX = "s-";
const ID_LENGTH = 16;

/** Where all sessions of this user are; it need not exist yet. */
export function sessionsFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const id = "0".repeat(ID_LENGTH);
  const folderIn = (base: string) => joinPath(base, `troupe-${uid}`);
  const fits = (base: string) => `${folderIn(base)}/${SESSION_PREFIX}${id}/${id}.sock`.length <= SOCKET_PATH_MAX;
  return folderIn([tmpdir(), "/tmp"].find(fits) ?? "/tmp");
}

/** A folder of this user's own for the sockets of one session: that of a node, whose id is its name. */
export function makeSessionDir(nodeId: string): string {
  const parent = sessionsFolder();
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  // The folder above is everybody's: another user may have made this one first, to see what is put into it.
  const { uid } = lstatSync(parent);
  if (uid !== (process.getuid?.() ?? uid) || !lstatSync(parent).isDirectory()) {
    throw new PermissionDeniedError(`${parent} is not a folder of this user's own: remove it, or set TMPDIR to a folder that is`);
  }
  chmodSync(parent, 0o700);
  const folder = joinPath(parent, `${SESSION_PREFIX}${nodeId}`);
  mkdirSync(folder, { mode: 0o700 });
  return folder;
}

/** The node whose agent listens at `unix:` and a socket in its session's folder; undefined for any other address. */
export function nodeOfSocket(address: string): string | undefined {
  return new RegExp(`^unix:.*/${SESSION_PREFIX}([0-9a-f]{${ID_LENGTH}})/agent\\.sock$`).exec(address)?.[1];
}

export function isSessionName(name: string): boolean {
  return name.startsWith(SESSION_PREFIX);
}
