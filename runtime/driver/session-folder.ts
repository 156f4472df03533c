// The folders of this user's sessions: one each, for sockets, logs and the token. Nobody else can look into them.

import { chmodSync, lstatSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join as joinPath } from "node:path";
import { PermissionDeniedError } from "../errors.ts";

/** A Unix socket's path has at most 107 bytes; ours adds a process id and a suffix to the folder. */
const SOCKET_DIR_MAX = 80;
const SESSION_PREFIX = "s-";

/** Where all sessions of this user are; it need not exist yet. */
export function sessionsFolder(): string {
  const uid = process.getuid?.() ?? 0;
  const base = [tmpdir(), "/tmp"].find((dir) => dir.length < SOCKET_DIR_MAX - 30) ?? "/tmp";
  return joinPath(base, `troupe-${uid}`);
}

/** A folder of this user's own for the sockets of one session. */
export function makeSessionDir(): string {
  const parent = sessionsFolder();
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  // The folder above is everybody's: another user may have made this one first, to see what is put into it.
  const { uid } = lstatSync(parent);
  if (uid !== (process.getuid?.() ?? uid) || !lstatSync(parent).isDirectory()) {
    throw new PermissionDeniedError(`${parent} is not a folder of this user's own: remove it, or set TMPDIR to a folder that is`);
  }
  chmodSync(parent, 0o700);
  return mkdtempSync(joinPath(parent, SESSION_PREFIX));
}

export function isSessionName(name: string): boolean {
  return name.startsWith(SESSION_PREFIX);
}
