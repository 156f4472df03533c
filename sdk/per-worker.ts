// perWorker(): one value a worker process, made when it is first asked for: connections, pools, models.

import { InvalidArgumentError } from "../runtime/errors.ts";

/** Reads the value of the process it is called in. */
export type PerWorker<T> = () => T;

/**
 * What a function captures is copied with it; a database pool can't be. `const db = perWorker(() => new Pool())` travels as
 * the way to make one: `db()` in a task or method gives the process's own, the same at every call. When `make` throws, the
 * next call tries again; when it is asynchronous, its promise is what all callers share.
 */
export function perWorker<T>(make: () => T): PerWorker<T> {
  if (typeof make !== "function") throw new InvalidArgumentError("perWorker: expected a function that makes the value");
  const id = crypto.randomUUID();
  return () => valueOf(id, make);
}

/** Copies of one reader in a process share its value: they have its id. A worker that is a place in a process has its own. */
function valueOf<T>(id: string, make: () => T): T {
  const holder = globalThis as { [key: symbol]: unknown };
  const core = holder[Symbol.for("troupe.core")] as { place?: () => { values: Map<string, unknown> } | undefined } | undefined;
  const values = core?.place?.()?.values ?? ((holder[Symbol.for("troupe.per-worker")] ??= new Map()) as Map<string, unknown>);
  if (!values.has(id)) values.set(id, make());
  return values.get(id) as T;
}
