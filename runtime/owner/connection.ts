// The one session of this process: set by init(), or by the worker around user code. Where a whole cluster is in one process, the
// code of each worker has that worker's session instead: its place is known from the asynchronous context it runs in.
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
  /** Of the code that runs; undefined where every place is the process itself. */
  place: (() => Place | undefined) | undefined;
}

/** A worker that shares its process with others. */
export interface Place {
  /** Undefined before it joins. */
  readonly session: Session | undefined;
  /** What perWorker() made there. */
  readonly values: Map<string, unknown>;
}

const KEY = Symbol.for("troupe.core");

function connection(): Connection {
  const holder = globalThis as unknown as Record<symbol, Connection | undefined>;
  const found = (holder[KEY] ??= { release: RELEASE, session: undefined, autoStart: undefined, place: undefined });
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
  const { session: own, autoStart, place } = connection();
  const session = place?.()?.session ?? own;
  if (session !== undefined) return session;
  if (autoStart !== undefined) return autoStart();
  throw new NotInitializedError("there is no cluster yet: call `await init()` first");
}

export function findSession(): Session | undefined {
  const { session: own, place } = connection();
  const session = place?.()?.session ?? own;
  return session?.ended ? undefined : session;
}

/** The code that runs is a worker's, in a process that is not its own. */
export function isInPlace(): boolean {
  return connection().place?.() !== undefined;
}

/** From now on `place` tells whose code runs. */
export function setPlaces(place: (() => Place | undefined) | undefined): void {
  connection().place = place;
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
