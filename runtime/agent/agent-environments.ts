// The runtime environments of this node: the shell of runtime/environment. Makes each once however many ask, brings what it
// needs from the nodes that have it, and remembers for a while that one could not be made.
//
// Whatever belongs to an environment was written to the agent of the process that made it, under the name of its hash. Other
// nodes read it from there, or from whoever has it by now: its job may outlive that node. The head is not asked.

import { ConnectionError, NotFoundError, RuntimeEnvSetupError } from "../errors.ts";
import { PIECE_BYTES_MAX, type BlobId, type EnvironmentSite, type Launch } from "../environment/index.ts";
import type { Clock } from "../seams.ts";
import type { AnswerBody, Caller, Channel, DeathCause, ReadChunk, WriteChunk } from "../transport/index.ts";
import type { PooledWorker } from "./workers/worker-pool.ts";

const PIECE_TIMEOUT_MS = 30_000;
/** Pieces of one blob under way at once. */
const PIECES_AHEAD = 4;
/** Who asks again within this time gets the same failure; after it, another try. */
export const FAILURE_KEPT_MS = 10_000;

export interface AgentEnvironmentsParts {
  readonly clock: Clock;
  readonly nodeId: string;
  readonly caller: Caller;
  readonly connect: (node: string) => Promise<Channel>;
  /** Nodes that may have what one of this job's environments needs, the likeliest first. */
  readonly nodesFor: (jobId: string, via: string) => readonly string[];
  readonly isLive: (jobId: string) => boolean;
  /** Undefined where nothing has files: the simulation. */
  readonly site: EnvironmentSite | undefined;
  readonly ready: (jobId: string, environment: string) => void;
  readonly failed: (jobId: string, environment: string, text: string) => void;
}

export class AgentEnvironments {
  readonly #parts: AgentEnvironmentsParts;
  readonly #failures = new Map<string, { readonly text: string; readonly until: number }>();

  constructor(parts: AgentEnvironmentsParts) {
    this.#parts = parts;
  }

  /** How workers of an environment are started that was made for their job. */
  launchOf(environment: string): Launch | undefined {
    return this.#parts.site?.launchOf(environment);
  }

  /** Answered by `ready` or `failed`. */
  prepare(jobId: string, environment: string, via: string): void {
    const { site, clock, ready, failed, nodesFor, nodeId, isLive } = this.#parts;
    const failure = this.#failures.get(environment);
    if (failure !== undefined && clock.now() < failure.until) return failed(jobId, environment, failure.text);
    const making = site === undefined
      ? Promise.reject(new NotFoundError("nodes of this cluster have no files"))
      : site.make(environment, jobId, (blob) => this.#fetch(blob, nodesFor(jobId, via)));
    making.then(
      () => {
        ready(jobId, environment);
        // A detached actor outlives its job: then only its worker holds the environment.
        if (!isLive(jobId)) clock.soon(() => this.release(jobId));
      },
      (error: unknown) => {
        const text = `the runtimeEnv could not be set up on node ${nodeId}: ${(error as Error).message}`;
        this.#fail(jobId, environment, text);
      },
    );
  }

  workerStarted({ process, environment }: PooledWorker): void {
    this.hold(environment, process);
  }

  /** For a worker, or a detached actor. */
  hold(environment: string, holder: string): void {
    if (environment !== "") this.#parts.site?.hold(environment, holder);
  }

  /** One that ended by itself before it was ready was not killed by chance: its environment does not let it start. */
  workerDied(worker: PooledWorker, cause: DeathCause): void {
    const { process, environment, jobId, isReady, setupFailure, endReason } = worker;
    if (environment === "") return;
    this.release(process);
    const isChance = endReason === "" && setupFailure === "" && cause.exitCode < 0;
    if (isReady || isChance) return;
    const said = cause.stderrTail.length === 0 ? "it wrote nothing to stderr" : `it wrote:\n${cause.stderrTail.join("\n")}`;
    const why = setupFailure || `${endReason || `it ended with exit code ${cause.exitCode}`}; ${said}`;
    this.#fail(jobId, environment, `a worker could not start in its runtimeEnv on node ${this.#parts.nodeId}: ${why}`);
  }

  /** A job, a worker or a detached actor needs it no longer. */
  release(holder: string): void {
    this.#parts.site?.release(holder);
  }

  async write({ blob, offset, bytes, total }: WriteChunk, jobId: string): Promise<AnswerBody> {
    return { chunk: { total: await this.#here().write(blob, offset, bytes, total, jobId) } };
  }

  async read({ blob, offset, length }: ReadChunk): Promise<AnswerBody> {
    return { chunk: await this.#here().blobs.read(blob, offset, length) };
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  /** Who asks again soon gets the same answer. */
  #fail(jobId: string, environment: string, text: string): void {
    const now = this.#parts.clock.now();
    for (const [id, { until }] of this.#failures) if (until <= now) this.#failures.delete(id);
    this.#failures.set(environment, { text, until: now + FAILURE_KEPT_MS });
    this.#parts.failed(jobId, environment, text);
  }

  #here(): EnvironmentSite {
    const { site, nodeId } = this.#parts;
    if (site !== undefined) return site;
    throw new NotFoundError(`node ${nodeId} keeps no files`);
  }

  /** From the first node that has it. */
  async #fetch(blob: BlobId, nodes: readonly string[]): Promise<void> {
    let last = "";
    for (const node of nodes) {
      try {
        return await this.#fetchFrom(blob, await this.#parts.connect(node));
      } catch (error) {
        // It has none, or is gone: another may have it. What the last one said is told when nobody has.
        last = `; the last one said: ${(error as Error).message}`;
      }
    }
    throw new RuntimeEnvSetupError(`a part of it (${blob}) is on none of the nodes asked (${nodes.join(", ") || "none"})${last}`);
  }

  async #fetchFrom(blob: BlobId, channel: Channel): Promise<void> {
    const { caller } = this.#parts;
    const options = { timeoutMs: PIECE_TIMEOUT_MS };
    const piece = (offset: number) =>
      caller.call(channel, "readChunk", { blob, offset, length: PIECE_BYTES_MAX }, "chunk", options);
    const { blobs } = this.#here();
    const first = await piece(0);
    const { total } = first;
    let have = await blobs.write(blob, 0, first.bytes, total);
    while (have < total) {
      const before = have;
      const offsets = Array.from({ length: PIECES_AHEAD }, (_, index) => before + index * PIECE_BYTES_MAX);
      const pieces = await Promise.all(offsets.filter((offset) => offset < total).map(piece));
      for (const [index, { bytes }] of pieces.entries()) have = await blobs.write(blob, offsets[index], bytes, total);
      if (have <= before) throw new ConnectionError(`node ${channel.peer.nodeId} sent nothing at byte ${before} of ${total}`);
    }
  }
}
