// The one session of this process: set by init(), or by the worker around user code.
//
// Kept under a global symbol, so that two copies of the package in one process share it, or refuse each other by version.

import { AlreadyInitializedError, NotInitializedError, VersionMismatchError } from "../errors.ts";
import type { Session } from "./session.ts";
import { RELEASE } from "../release.ts";

interface Connection {
  readonly release: string;
  session: Session | undefined;
  /** Given by the driver side: what happens when user code did not call init(). */
  autoStart: (() => Session) | undefined;
}

const KEY = Symbol.for("troupe.core");

function connection(): Connection {
  const holder = globalThis as unknown as Record<symbol, Connection | undefined>;
  const found = (holder[KEY] ??= { release: RELEASE, session: undefined, autoStart: undefined });
  if (found.release === RELEASE) return found;
  throw new VersionMismatchError(
    `this process loaded two releases of troupe: ${found.release} and ${RELEASE}. Install one (see npm ls troupe)`,
    { loaded: found.release, release: RELEASE },
  );
}

/**
 * The session to work in, started when there is none. A session that was lost stays: work that was meant for its cluster is not
 * taken elsewhere before somebody says so by shutdown() or init(). A worker has its session for life.
 */
export function currentSession(): Session {
  const { session, autoStart } = connection();
  if (session !== undefined) return session;
  if (autoStart !== undefined) return autoStart();
  throw new NotInitializedError("there is no cluster yet: call `await init()` first");
}

export function findSession(): Session | undefined {
  const { session } = connection();
  return session?.ended ? undefined : session;
}

export function setSession(session: Session): void {
  const found = connection();
  if (found.session !== undefined && !found.session.ended) {
    throw new AlreadyInitializedError("this process is in a cluster already: call shutdown(), or init({ ignoreReinit: true })");
  }
  found.session = session;
  session.metrics.begin();
}

export function clearSession(session: Session): void {
  const found = connection();
  if (found.session === session) found.session = undefined;
}

export function setAutoStart(start: () => Session): void {
  connection().autoStart = start;
}
