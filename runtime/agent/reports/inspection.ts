// What people ask a node about one of its workers: what it printed, and what it is doing. An agent that is asked about another
// node passes the question on.

import { NotFoundError } from "../../errors.ts";
import type { AnswerName, AnswerOf, Caller, CallHandlers, CallName, CallOf, Channel, Draft } from "../../transport/index.ts";
import type { LogFiles } from "../workers/log-files.ts";
import type { StackReader } from "./stack-reader.ts";
import type { WorkerPool } from "../workers/worker-pool.ts";

/** More than a worker is waited for. */
const ASK_TIMEOUT_MS = 15_000;

export interface InspectionParts {
  readonly nodeId: string;
  readonly caller: Caller;
  readonly connect: (node: string) => Promise<Channel>;
  readonly workers: WorkerPool;
  readonly logs: Pick<LogFiles, "read" | "list"> | undefined;
  readonly stacks: StackReader | undefined;
}

export class Inspection {
  readonly #parts: InspectionParts;
  /** Of other agents: about this node. */
  readonly here: CallHandlers;
  /** Of commands: about any node. */
  readonly anywhere: CallHandlers;

  constructor(parts: InspectionParts) {
    this.#parts = parts;
    this.here = {
      readLog: (body) => ({ logPart: this.#log(body) }),
      readStack: async (body) => ({ stack: { text: await this.#stack(body) } }),
    };
    this.anywhere = {
      readLog: async (body) => ({ logPart: await this.#at(body, "readLog", "logPart", async () => this.#log(body)) }),
      readStack: async (body) => (
        { stack: await this.#at(body, "readStack", "stack", async () => ({ text: await this.#stack(body) })) }
      ),
    };
  }

  /** For the state API: who printed how much, also those that have ended. */
  logRows(): object[] {
    const { nodeId, logs, workers } = this.#parts;
    return (logs?.list() ?? []).map(({ process, bytes, hasEnded }) => (
      { id: process, nodeId, pid: workers.get(process)?.child.pid ?? 0, bytes, state: hasEnded ? "ENDED" : "OPEN" }
    ));
  }

  async #at<N extends CallName, A extends AnswerName>(
    body: CallOf<N> & { readonly node: string }, name: N, expected: A, here: () => Promise<Draft<AnswerOf<A>>>,
  ): Promise<Draft<AnswerOf<A>>> {
    const { nodeId, caller, connect } = this.#parts;
    if (body.node === "" || body.node === nodeId) return here();
    const channel = await connect(body.node);
    return caller.call(channel, name, body as Draft<CallOf<N>>, expected, { timeoutMs: ASK_TIMEOUT_MS }) as never;
  }

  #log({ process, offset, length }: CallOf<"readLog">): Draft<AnswerOf<"logPart">> {
    const { nodeId, logs, workers } = this.#parts;
    const worker = workers.get(process);
    // What a thread prints is its process's.
    const part = logs?.read(worker?.host || process, offset, length);
    if (part !== undefined) return part;
    // It has printed nothing so far.
    if (worker !== undefined) return { offset: 0, end: 0 };
    const whose = process === "" ? "its agent" : `worker ${process}`;
    throw new NotFoundError(`node ${nodeId} has no log of ${whose}: it printed nothing, or its log is no longer kept`);
  }

  async #stack({ process }: CallOf<"readStack">): Promise<string> {
    const { nodeId, stacks, workers } = this.#parts;
    const worker = workers.get(process);
    if (worker === undefined || stacks === undefined) throw new NotFoundError(`there is no worker ${process} on node ${nodeId}`);
    const { pid } = worker.child;
    return worker.host === "" ? stacks.read(process, pid) : stacks.read(worker.host, pid, process);
  }
}
