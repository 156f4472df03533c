// Answers the state API for the whole cluster: what the head knows itself, and what it gathers from the agents.

import { joinRows, selectRows, type StateRowsFound } from "../core/index.ts";
import { failureOf, InvalidArgumentError } from "../errors.ts";
import { plainResources } from "../../scheduler/index.ts";
import type { Caller, Channel, Draft, ListState, NodeInfo, StateRows } from "../transport/index.ts";

/** More than an agent waits for its processes. */
const ASK_TIMEOUT_MS = 20_000;
const GATHERED = new Set(["workers", "stores", "tasks", "objects", "logs", "waits", "orders", "copies"]);

export interface HeadStateParts {
  readonly caller: Caller;
  readonly agents: () => Iterable<readonly [node: string, channel: Channel]>;
  /** What the head knows, by kind. */
  readonly own: Readonly<Record<string, () => readonly object[]>>;
}

export class HeadState {
  readonly #parts: HeadStateParts;

  constructor(parts: HeadStateParts) {
    this.#parts = parts;
  }

  async list(query: ListState): Promise<Draft<StateRows>> {
    const { own } = this.#parts;
    if (Object.hasOwn(own, query.kind)) return answerOf(selectRows(own[query.kind](), query), []);
    if (GATHERED.has(query.kind)) return this.#gather(query);
    const known = [...Object.keys(own), ...GATHERED].sort().join(", ");
    throw new InvalidArgumentError(`list: "${query.kind}" is not one of ${known}`);
  }

  async #gather(query: ListState): Promise<Draft<StateRows>> {
    const { caller, agents } = this.#parts;
    const missing: string[] = [];
    const found = await Promise.all(
      [...agents()].map(async ([node, channel]): Promise<StateRowsFound> => {
        try {
          const body = { ...query, here: true };
          const answer = await caller.call(channel, "listState", body, "stateRows", { timeoutMs: ASK_TIMEOUT_MS });
          missing.push(...answer.missing);
          return { rows: JSON.parse(answer.json) as object[], total: answer.total };
        } catch (error) {
          missing.push(`node ${node}: ${failureOf(error).text}`);
          return { rows: [], total: 0 };
        }
      }),
    );
    return answerOf(joinRows(found, query), missing);
  }
}

function answerOf({ rows, total }: StateRowsFound, missing: string[]): Draft<StateRows> {
  return { json: JSON.stringify(rows), total, missing };
}

export function nodeRow(node: Draft<NodeInfo>): object {
  const { id, state, address, host, labels, isHead, pid, reason, total, available, metricsPort } = node;
  return {
    id, state, address: (address ?? "").replace(/^tcp:/, ""), host, pid, metricsPort, isHead: isHead === true,
    labels: labels ?? {}, reason: reason ?? "", total: plainResources(total ?? {}), available: plainResources(available ?? {}),
  };
}
