// The fields of the state API's rows, by which rows can be filtered.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { describeValue, object } from "../runtime/option-checks.ts";
import type { StateKind, StateRowOf } from "./rows.ts";

const FIELDS: { readonly [K in StateKind]: readonly (keyof StateRowOf<K>)[] } = {
  nodes: ["id", "state", "labels", "resources", "available", "address", "host", "pid", "metricsPort", "isHead", "reason"],
  actors: ["id", "name", "namespace", "className", "state", "pid", "nodeId", "workerId", "restarts", "jobId"],
  tasks: [
    "id", "name", "state", "attempt", "nodeId", "workerId", "workerPid", "actorId", "errorCode", "jobId", "ownerId",
    "submittedAt", "startedAt", "endedAt", "runMs", "progress",
  ],
  objects: [
    "id", "size", "state", "ownerId", "locations", "createdAt", "localHandles", "borrowers", "heldBy", "lifetime", "scopes",
    "name", "site",
  ],
  workers: ["id", "pid", "nodeId", "state", "jobId", "environment", "threadOf"],
  jobs: ["id", "name", "namespace", "state", "nodeId", "entry", "reason"],
  stores: [
    "nodeId", "capacity", "used", "objects", "made", "madeBytes", "transfers", "copiedBytes", "damagedChunks", "servedBytes",
    "inFlightBytes", "evicted", "spillFileBytes", "spilledBytes", "restoredBytes", "waiting",
  ],
  groups: ["id", "name", "namespace", "state", "strategy", "bundles", "lifetime", "jobId", "reason"],
  logs: ["id", "nodeId", "pid", "bytes", "state"],
  events: ["at", "kind", "id", "text"],
};

/**
 * Filters as they are asked: texts by field, without those that were given as undefined.
 *
 * @throws InvalidArgumentError for what is no field of such rows: nothing would ever match.
 */
export function checkFilters(what: string, kind: StateKind, filters: object): Record<string, string> {
  if (object(filters) !== undefined) {
    throw new InvalidArgumentError(`${what}: filters must be an object of field names and values, not ${describeValue(filters)}`);
  }
  const known: readonly string[] = FIELDS[kind];
  const given = Object.entries(filters).filter(([, value]) => value !== undefined);
  for (const [field] of given) {
    if (known.includes(field)) continue;
    throw new InvalidArgumentError(`${what}: ${kind} have no field ${field} to filter by; they have ${known.join(", ")}`);
  }
  return Object.fromEntries(given.map(([field, value]) => [field, String(value)]));
}
