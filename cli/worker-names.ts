// Which worker people mean: by its id, its process id, the actor it hosts or a task that it ran.

import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import type { ClusterLink, Row } from "./cluster-link.ts";

export interface NamedProcess {
  readonly node: string;
  /** "" for the agent of the node. */
  readonly process: string;
}

/** Ids may be shortened as long as they name one thing. */
export async function findProcess(link: ClusterLink, name: string): Promise<NamedProcess> {
  const [logs, workers] = await Promise.all([link.rows("logs"), link.rows("workers")]);
  const known = new Map([...logs, ...workers].map((row) => [String(row.id), row]));
  const found = ofRows([...known.values()], ({ id, pid, threadOf }) => (
    String(id).startsWith(name) || (String(pid) === name && (threadOf ?? "") === "")
  ), name);
  if (found !== undefined) return { node: String(found.nodeId), process: String(found.id) };
  const actor = ofRows(await link.rows("actors"), ({ id, name: own, state }) => (
    id === name || (own === name && state !== "DEAD")
  ), name);
  if (actor !== undefined) {
    if (actor.workerId !== "") return { node: String(actor.nodeId), process: String(actor.workerId) };
    throw new NotFoundError(`actor ${name} has no worker: it is ${String(actor.state)}`);
  }
  const [task] = await link.rows("tasks", { id: name });
  if (task !== undefined && task.workerId !== "") return { node: String(task.nodeId), process: String(task.workerId) };
  if (task !== undefined) throw new NotFoundError(`task ${name} has no worker: it is ${String(task.state)}`);
  const node = ofRows(await link.rows("nodes"), ({ id }) => id === name, name);
  if (node !== undefined) return { node: String(node.id), process: "" };
  throw new NotFoundError(`nothing in this cluster is called ${name}: give the id of a worker, an actor, a task or a node`);
}

function ofRows(rows: readonly Row[], fits: (row: Row) => boolean, name: string): Row | undefined {
  const found = rows.filter(fits);
  const ids = found.map(({ id }) => String(id));
  if (found.length > 1) throw new InvalidArgumentError(`${name} fits ${ids.join(", ")}: give more of it`);
  return found[0];
}
