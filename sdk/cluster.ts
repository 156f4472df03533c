// The cluster this process is in, as its driver sees it.

import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import { onInterrupt, type PrivateCluster, readRecords } from "../runtime/driver/index.ts";
import { type Staying, STAYS_BRAND } from "../runtime/serialize/index.ts";
import { cancelAll, clearSession, type Session } from "../runtime/owner/index.ts";
import { type EventRow, type NodeRow, shapeRow } from "./rows.ts";
import { askRows } from "./state.ts";

const NODES_MAX = 100_000;
const EVENTS_MAX = 1000;

/** Given by init(). `await using` or `shutdown()` leaves it; a private cluster then ends. */
export class Cluster implements AsyncDisposable {
  readonly address: string;
  /** @internal */
  readonly session: Session;
  readonly #host: PrivateCluster | undefined;
  /** All that the job needs before it can begin. */
  readonly #begun: Promise<unknown>;
  readonly #left: () => void;
  readonly #uninterrupted: () => void;
  #ended: Promise<void> | undefined;

  /** @internal `needed`: what the job needs beside its session, on its way; `left`: it has ended. */
  constructor(
    session: Session, host: PrivateCluster | undefined, address: string, needed: Promise<unknown>, left: () => void,
  ) {
    this.session = session;
    this.#host = host;
    this.#left = left;
    this.address = address;
    this.#uninterrupted = onInterrupt({
      clock: session.parts.seams.clock,
      cancel: () => cancelAll(session, "the program was interrupted"),
      leave: () => this.shutdown(),
    });
    // Also when nobody waits for it: what kept it from joining ends it, and its host.
    this.#begun = Promise.all([session.parts.home.joined, needed]);
    this.#begun.catch(() => void this.shutdown());
  }

  /** @internal It ends with this process. */
  get isPrivate(): boolean {
    return this.#host !== undefined;
  }

  get jobId(): string {
    return this.session.jobId;
  }

  get namespace(): string {
    return this.session.namespace;
  }

  /** @internal Rejects when it could not join, after everything of it has ended. */
  async joined(): Promise<void> {
    try {
      await this.session.holding(this.#begun);
    } catch (error) {
      await this.shutdown();
      throw error;
    }
  }

  /** Every node, also those that died. */
  async nodes(): Promise<NodeRow[]> {
    const { json } = await askRows(this.session, { kind: "nodes", limit: NODES_MAX });
    return (JSON.parse(json) as object[]).map((row) => shapeRow("nodes", row));
  }

  /** Sum over the living nodes. */
  async resources(): Promise<Record<string, number>> {
    return sum((await this.nodes()).filter((node) => node.state === "ALIVE").map((node) => node.resources));
  }

  /** What of it is free now, as last reported. */
  async availableResources(): Promise<Record<string, number>> {
    return sum((await this.nodes()).filter((node) => node.state === "ALIVE").map((node) => node.available));
  }

  /** What has happened to nodes, jobs, actors and groups lately, the newest first. */
  async events(options: { readonly limit?: number } = {}): Promise<EventRow[]> {
    const { json } = await askRows(this.session, { kind: "events", limit: options.limit ?? EVENTS_MAX });
    return (JSON.parse(json) as object[]).map((row) => shapeRow("events", row));
  }

  /**
   * The command that adds a node to this cluster; on another machine with a copy of the token file.
   *
   * @throws InvalidArgumentError for a private cluster, which takes no others.
   */
  async joinCommand(): Promise<string> {
    const nodes = (await this.nodes()).filter(({ state, address }) => state !== "DEAD" && address !== "");
    const node = nodes.find(({ isHead }) => isHead) ?? nodes.at(0);
    if (node === undefined) {
      throw new InvalidArgumentError("a private cluster takes no other nodes: start one with `troupe start --head`, " +
        "and join that with init({ address: \"auto\" })");
    }
    const record = readRecords().running.find(({ nodeId }) => nodes.some(({ id }) => id === nodeId));
    const insecure = record?.trustedNetwork ? " --insecure-i-understand" : "";
    return `troupe start --address ${node.address} --token-file ${record?.tokenFile ?? "FILE"}${insecure}`;
  }

  /** @internal */
  get [STAYS_BRAND](): Staying[typeof STAYS_BRAND] {
    return {
      what: "a Cluster, the membership of one process",
      fix: "call list.nodes(), getRuntimeContext() and the like where they are needed: every task is in the cluster already",
    };
  }

  /** Leaves the cluster: what is pending fails, refs are dead. Idempotent. */
  shutdown(): Promise<void> {
    this.#ended ??= this.#end();
    return this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.shutdown();
  }

  async #end(): Promise<void> {
    this.#uninterrupted();
    clearSession(this.session);
    await this.session.close(new NotFoundError("the cluster was shut down by this process"));
    await this.#host?.stop();
    this.#left();
  }
}

function sum(rows: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const total: Record<string, number> = {};
  for (const row of rows) for (const [name, value] of Object.entries(row)) total[name] = (total[name] ?? 0) + value;
  return total;
}
