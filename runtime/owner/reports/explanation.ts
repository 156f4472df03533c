// Why something is not there yet, put together from what its owner, the agents and its worker tell.
//
// The owner of an object is asked first: it knows whether the object waits for arguments, a lease, an actor or a retry. What it
// does not know is asked of who does: the agents for what waits in their queues, the worker for what its code waits for. What one
// object waits for is explained in its turn, to a depth.

export type ReasonKind =
  /** The value is there, or an error; on its way from another node to one that reads it. */
  | "ready" | "failed" | "fetching"
  /** Being put; or nothing that this cluster knows. */
  | "unsettled" | "unknown"
  /** Before it can run. */
  | "arguments" | "joining" | "environment" | "resources" | "quota" | "worker" | "infeasible" | "group" | "lease" | "pipeline"
  | "retry"
  /** While it runs. */
  | "running" | "waiting" | "blocked" | "stream"
  /** Calls of actors. */
  | "actor-pending" | "actor-restarting" | "actor-lost" | "actor-dead" | "actor-queue" | "actor-constructing"
  /** Who would have to tell does not answer. */
  | "owner-blocked";

export interface Reason {
  readonly kind: ReasonKind;
  /** The object, task or call that it is about: the one that was asked about, or one that it waits for. */
  readonly id: string;
  readonly text: string;
  readonly name?: string;
  readonly nodeId?: string;
  readonly workerId?: string;
  readonly workerPid?: number;
  readonly actorId?: string;
  /** What it waits for. */
  readonly objectIds?: readonly string[];
  /** Asked for; only tasks and actors ask. */
  readonly resources?: Readonly<Record<string, number>>;
  /** Resources that no task gives back: actors or placement groups hold them for life. */
  readonly isKept?: boolean;
  readonly ageMs?: number;
  readonly attempt?: number;
  readonly retryInMs?: number;
  /** From 0 to 1, as its code told. */
  readonly progress?: number;
  /** Calls before it. */
  readonly ahead?: number;
  readonly errorCode?: string;
}

export interface Explanation {
  /** One sentence for each reason. */
  readonly text: string;
  readonly reasons: readonly Reason[];
}

type Row = Readonly<Record<string, unknown>>;
export interface Told {
  readonly rows: readonly Row[];
  /** Who did not answer. */
  readonly missing: readonly string[];
}
/** Asks the cluster for rows of a kind with that id, of one process only when it is named. */
export type Ask = (kind: string, id: string, process?: string) => Promise<Told>;

/** What waits for what is followed so deep, and so wide. */
const DEPTH_MAX = 8;
const WIDTH_MAX = 3;

export async function explainId(id: string, ask: Ask): Promise<Explanation> {
  const reasons: Reason[] = [];
  await new Inquiry(ask, reasons).object(id, 0);
  return { text: reasons.map((reason) => reason.text).join("\n"), reasons };
}

class Inquiry {
  readonly #ask: Ask;
  readonly #reasons: Reason[];
  readonly #seen = new Set<string>();

  constructor(ask: Ask, reasons: Reason[]) {
    this.#ask = ask;
    this.#reasons = reasons;
  }

  async object(id: string, depth: number): Promise<void> {
    if (this.#seen.has(id) || depth > DEPTH_MAX) return;
    this.#seen.add(id);
    const owner = id.slice(0, id.lastIndexOf("."));
    const { rows, missing } = await this.#ask("waits", id, owner);
    const row = rows.find(({ as }) => as !== "attempt" && as !== "received");
    if (row?.as === "task") return this.#task(id, row, depth);
    if (row?.as === "call") return this.#call(id, row, depth);
    if (row?.as === "object" && row.state !== "PENDING") return this.#settled(id, row);
    const [actor] = (await this.#ask("actors", id)).rows;
    if (actor !== undefined) return this.#actor(id, actor);
    if (row !== undefined) return this.#add("unsettled", id, `object ${id} is being made by its owner, process ${owner}`);
    if (missing.length > 0) {
      return this.#add("owner-blocked", id, `${id}: its owner does not answer, so it can't hand out anything new: ${missing[0]}`);
    }
    this.#add("unknown", id, `${id}: process ${owner} does not know it, or has ended: it was freed, or is no object`);
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #add(kind: ReasonKind, id: string, text: string, about: Omit<Reason, "kind" | "id" | "text"> = {}): void {
    this.#reasons.push({ kind, id, text, ...about });
  }

  async #settled(id: string, row: Row): Promise<void> {
    if (row.state === "FAILED") {
      const text = row.text ?? "user code threw";
      return this.#add("failed", id, `${id} has failed: ${text}`, { errorCode: textOf(row.errorCode) });
    }
    const nodeId = textOf(row.nodeId);
    const copies = row.place === undefined ? [] : (await this.#ask("copies", textOf(row.place))).rows;
    for (const copy of copies) {
      const text = `${id} is on its way from node ${nodeId} to node ${copy.nodeId} (${row.size} bytes)`;
      this.#add("fetching", id, text, { nodeId: textOf(copy.nodeId) });
    }
    if (copies.length > 0) return;
    this.#add("ready", id, `${id} is ready${nodeId === "" ? "" : `, on node ${nodeId}`}`, { nodeId });
  }

  async #task(id: string, row: Row, depth: number): Promise<void> {
    const name = textOf(row.name);
    const what = `task "${name}" (${id})`;
    const about = { name, attempt: Number(row.attempt), ageMs: Number(row.ageMs) };
    switch (row.state) {
      case "WAITING_FOR_ARGUMENTS": return this.#arguments(id, what, row, depth);
      case "RETRYING": {
        const retryInMs = Math.round(Number(row.retryInMs));
        return this.#add("retry", id, `${what} failed and is tried again in ${retryInMs} ms (attempt ${row.attempt})`,
          { ...about, retryInMs });
      }
      case "QUEUED": return this.#queued(id, what, row, about);
      default: return this.#onWorker(id, what, row, depth, about);
    }
  }

  async #arguments(id: string, what: string, row: Row, depth: number): Promise<void> {
    const objectIds = idsOf(row.waitsFor);
    this.#add("arguments", id, `${what} waits for its arguments: ${shown(objectIds)}`, { objectIds, name: textOf(row.name) });
    for (const one of objectIds.slice(0, WIDTH_MAX)) await this.object(one, depth + 1);
  }

  async #queued(id: string, what: string, row: Row, about: Omit<Reason, "kind" | "id" | "text">): Promise<void> {
    if (row.joined === false) return this.#add("joining", id, `${what} waits until its process has joined the cluster`, about);
    if (row.environmentReady === false) {
      return this.#add("environment", id, `${what} waits until its runtimeEnv has been sent to the cluster`, about);
    }
    if (await this.#orders(id, what, textOf(row.orderId), about)) return;
    const leases = Number(row.leases);
    const held = leases === 0
      ? "no worker has been granted yet"
      : `the ${leases} worker${leases === 1 ? "" : "s"} that its process has for such tasks ${leases === 1 ? "is" : "are"} busy`;
    this.#add("lease", id, `${what} waits for a worker: ${held} (${row.queued} such tasks wait)`, about);
  }

  /** What waits in the agents' queues under that name. */
  async #orders(id: string, what: string, order: string, about: Omit<Reason, "kind" | "id" | "text">): Promise<boolean> {
    const { rows } = await this.#ask("orders", order);
    for (const { reason, text, nodeId, resources, isKept } of rows) {
      const kept = isKept === true ? "; actors or placement groups hold what it needs, which no task gives back" : "";
      const asked = Object.entries(resources as object).map(([key, amount]) => `${key} ${amount}`).join(", ");
      // What says why nothing can hold it names it already.
      const needs = reason === "infeasible" || asked === "" ? "" : ` (${asked})`;
      this.#add(reason as ReasonKind, id, `${what} waits on node ${nodeId}: ${text}${needs}${kept}`,
        { ...about, nodeId: textOf(nodeId), resources: resources as Record<string, number>, isKept: isKept === true });
    }
    return rows.length > 0;
  }

  async #onWorker(
    id: string, what: string, row: Row, depth: number, about: Omit<Reason, "kind" | "id" | "text">,
  ): Promise<void> {
    const workerId = textOf(row.workerId);
    const place = { ...about, nodeId: textOf(row.nodeId), workerId, workerPid: Number(row.workerPid) };
    const where = `process ${row.workerPid} of node ${row.nodeId}`;
    const { rows, missing } = await this.#ask("waits", textOf(row.taskId), workerId);
    const attempt = rows.find(({ as }) => as === "attempt");
    if (attempt === undefined && missing.length === 0 && row.state !== "RUNNING") {
      return this.#add("pipeline", id, `${what} was sent to ${where}, and has not started there`, place);
    }
    const since = row.runningMs === undefined ? "" : `, for ${Math.round(Number(row.runningMs))} ms at most`;
    const done = row.progress === undefined ? "" : `, ${Math.round(Number(row.progress) * 100)} % done`;
    const beat = row.heartbeatMs === undefined ? "" : `, last heartbeat ${Math.round(Number(row.heartbeatMs))} ms ago`;
    this.#add("running", id, `${what} runs in ${where}${since} (attempt ${row.attempt}${done}${beat})`, {
      ...place, ...(row.runningMs === undefined ? {} : { ageMs: Number(row.runningMs) }),
      ...(row.progress === undefined ? {} : { progress: Number(row.progress) }),
    });
    if (missing.length > 0) {
      return this.#add("blocked", id, `the event loop of ${where} does not turn: its code computes, or blocks`, place);
    }
    this.#stream(id, what, row, place);
    await this.#awaited(id, what, attempt, depth, place);
  }

  #stream(id: string, what: string, row: Row, place: Omit<Reason, "kind" | "id" | "text">): void {
    const { isFull, received, taken } = (row.stream ?? {}) as Row;
    if (isFull !== true) return;
    const text = `${what} stands still: ${Number(received) - Number(taken)} of its items are not taken (streamBackpressure)`;
    this.#add("stream", id, text, place);
  }

  /** What running code waits for. */
  async #awaited(
    id: string, what: string, attempt: Row | undefined, depth: number, place: Omit<Reason, "kind" | "id" | "text">,
  ): Promise<void> {
    const objectIds = idsOf(attempt?.waitsFor);
    if (objectIds.length === 0) return;
    this.#add("waiting", id, `${what} waits in its code for ${shown(objectIds)}`, { ...place, objectIds });
    for (const one of objectIds.slice(0, WIDTH_MAX)) await this.object(one, depth + 1);
  }

  async #call(id: string, row: Row, depth: number): Promise<void> {
    const { actorId, name, className, workerPid, nodeId } = row;
    const what = `call "${textOf(name)}" (${id})`;
    const about = { name: textOf(name), actorId: textOf(actorId), ageMs: Number(row.ageMs) };
    if (idsOf(row.waitsFor).length > 0) return this.#arguments(id, what, row, depth);
    if (row.isSent !== true || row.actorState !== "alive") {
      const [actor] = (await this.#ask("actors", textOf(actorId))).rows;
      if (actor !== undefined && actor.state !== "ALIVE") {
        this.#add("actor-queue", id, `${what} waits for its actor ${className} (${actorId})`, about);
        return this.#actor(textOf(actorId), actor);
      }
      return this.#add(row.actorState === "lost" ? "actor-lost" : "actor-queue", id,
        `${what} waits: actor ${className} (${actorId}) is being reached, or earlier calls of its caller go first`, about);
    }
    const where = `process ${workerPid} of node ${nodeId}`;
    const place = { ...about, nodeId: textOf(nodeId), workerId: textOf(row.workerId), workerPid: Number(workerPid) };
    const { rows, missing } = await this.#ask("waits", textOf(row.taskId), textOf(row.workerId));
    if (missing.length > 0) {
      const text = `${what} is at its actor ${className} in ${where}, whose event loop does not turn: its code computes, or `;
      return this.#add("blocked", id, `${text}blocks`, place);
    }
    const received = rows.find(({ as }) => as === "received");
    if (received?.isRunning !== true) {
      return this.#inQueue(id, `${what} waits at its actor ${className} in ${where}`, received, place);
    }
    this.#add("running", id, `${what} runs in ${where}`, place);
    this.#stream(id, what, row, place);
    await this.#awaited(id, what, rows.find(({ as }) => as === "attempt"), depth, place);
  }

  #inQueue(id: string, what: string, received: Row | undefined, place: Omit<Reason, "kind" | "id" | "text">): void {
    if (received === undefined) return this.#add("actor-queue", id, `${what}: it is on its way`, place);
    const { isConstructed, hasArguments, running } = received;
    if (isConstructed === false) return this.#add("actor-constructing", id, `${what}: its constructor runs`, place);
    if (hasArguments === false) return this.#add("fetching", id, `${what}: its arguments are being brought there`, place);
    const ahead = Number(received.ahead);
    const busy = (running as readonly string[]).map((one) => `"${one}"`).join(", ");
    const text = `${what}: ${ahead} calls before it, ${busy === "" ? "nothing" : busy} runs`;
    this.#add("actor-queue", id, text, { ...place, ahead });
  }

  async #actor(id: string, { className, state, nodeId, restarts }: Row): Promise<void> {
    const what = `actor ${className} (${id})`;
    const about = { actorId: id, name: textOf(className) };
    if (state === "ALIVE") {
      return this.#add("ready", id, `${what} lives on node ${nodeId}`, { ...about, nodeId: textOf(nodeId) });
    }
    if (state === "DEAD") return this.#add("actor-dead", id, `${what} is dead`, about);
    const isRestarting = state === "RESTARTING";
    const text = isRestarting ? `${what} is being restarted (restart ${restarts})` : `${what} is being created`;
    this.#add(isRestarting ? "actor-restarting" : "actor-pending", id, text, about);
    await this.#orders(id, what, `actor:${id}/0`, about);
  }
}

function textOf(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

function idsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

function shown(ids: readonly string[]): string {
  return ids.length > WIDTH_MAX ? `${ids.slice(0, WIDTH_MAX).join(", ")} and ${ids.length - WIDTH_MAX} more` : ids.join(", ");
}
