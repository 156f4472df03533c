// Rows of the state API that this node can tell: its workers and its store, and what its processes tell of tasks and objects.

import { joinRows, selectRows, type StateRowsFound } from "../../core/index.ts";
import { failureOf } from "../../errors.ts";
import type { StoreHost } from "../../store/index.ts";
import type { Caller, Draft, ListState, StateRows } from "../../transport/index.ts";
import type { LocalProcesses } from "../workers/local-processes.ts";

/** A process with a blocked loop can't answer: the rest is told without it. */
const ASK_TIMEOUT_MS = 3000;
/** Whoever lists its objects collects garbage first. */
const ASK_OBJECTS_TIMEOUT_MS = 15_000;

export interface AgentStateParts {
  readonly nodeId: string;
  readonly caller: Caller;
  readonly store: StoreHost;
  readonly objects: () => object;
  readonly workers: () => object[];
  /** What waits here for a worker, and objects on their way to this node. */
  readonly orders: () => object[];
  readonly copies: () => object[];
  /** Objects that this node keeps for lifetimes. */
  readonly kept: () => object[];
  readonly logs: () => object[];
  readonly processes: LocalProcesses;
}

export class AgentState {
  readonly #parts: AgentStateParts;

  constructor(parts: AgentStateParts) {
    this.#parts = parts;
  }

  async here(query: ListState): Promise<Draft<StateRows>> {
    if (query.kind === "workers") return answerOf(selectRows(this.#parts.workers(), query));
    if (query.kind === "logs") return answerOf(selectRows(this.#parts.logs(), query));
    if (query.kind === "orders") return answerOf(selectRows(this.#parts.orders(), query));
    if (query.kind === "copies") return answerOf(selectRows(this.#parts.copies(), query));
    if (query.kind === "stores") return answerOf(selectRows([this.#store()], query));
    return this.#ofProcesses(query);
  }

  #store(): object {
    const { nodeId, store, objects } = this.#parts;
    return { nodeId, ...store.stats(), ...objects(), holders: store.holders() };
  }

  async #ofProcesses(query: ListState): Promise<Draft<StateRows>> {
    const { nodeId, caller, processes, kept } = this.#parts;
    const missing: string[] = [];
    const asked = [...processes.values()].filter(({ peer }) => query.process === "" || peer.processId === query.process);
    const found = await Promise.all(
      asked.map(async ({ peer, channel }): Promise<StateRowsFound> => {
        try {
          const ask = (body: ListState, timeoutMs: number) => caller.call(channel, "listState", body, "stateRows", { timeoutMs });
          // Who has a blocked loop is not waited for as long as who collects garbage.
          if (query.kind === "objects") await ask({ ...query, kind: "tasks", limit: 1 }, ASK_TIMEOUT_MS);
          const { json, total } = await ask(query, query.kind === "objects" ? ASK_OBJECTS_TIMEOUT_MS : ASK_TIMEOUT_MS);
          return { rows: JSON.parse(json) as object[], total };
        } catch (error) {
          missing.push(`process ${peer.processId} on node ${nodeId}: ${failureOf(error).text}`);
          return { rows: [], total: 0 };
        }
      }),
    );
    if (query.kind === "objects" && query.process === "") found.push(selectRows(kept(), query));
    return answerOf(joinRows(found, query), missing);
  }
}

export function answerOf({ rows, total }: StateRowsFound, missing: string[] = []): Draft<StateRows> {
  return { json: JSON.stringify(rows), total, missing };
}
