// What the cluster holds, as rows: `await list.actors({ filters: { state: "ALIVE" } })`.

import { currentSession, type Session } from "../runtime/owner/index.ts";
import { checkOptions, object, whole } from "../runtime/option-checks.ts";
import { checkFilters } from "./row-fields.ts";
import type {
  ActorRow, GroupRow, JobRow, LogRow, NodeRow, ObjectRow, StateKind, StateRowOf, StoreRow, TaskRow, WorkerRow,
} from "./rows.ts";
import { shapeRow } from "./rows.ts";

export interface ListOptions<R> {
  /** Only rows whose fields have these values, compared as text. */
  readonly filters?: { readonly [K in keyof R]?: string | number | boolean | undefined } | undefined;
  /** At most so many rows. Default 100. */
  readonly limit?: number | undefined;
}

/** Rows of one kind, from the whole cluster. What a process that does not answer in time would tell is missing. */
export const list = {
  nodes: (options?: ListOptions<NodeRow>) => rowsOf("nodes", options),
  actors: (options?: ListOptions<ActorRow>) => rowsOf("actors", options),
  jobs: (options?: ListOptions<JobRow>) => rowsOf("jobs", options),
  tasks: (options?: ListOptions<TaskRow>) => rowsOf("tasks", options),
  objects: (options?: ListOptions<ObjectRow>) => rowsOf("objects", options),
  workers: (options?: ListOptions<WorkerRow>) => rowsOf("workers", options),
  stores: (options?: ListOptions<StoreRow>) => rowsOf("stores", options),
  placementGroups: (options?: ListOptions<GroupRow>) => rowsOf("groups", options),
  logs: (options?: ListOptions<LogRow>) => rowsOf("logs", options),
} as const;

export interface TaskSummary {
  readonly name: string;
  /** How many, by state. */
  readonly states: Readonly<Record<string, number>>;
  readonly total: number;
}

/** Counts instead of rows. */
export const summary = {
  /** By the name of the function or method, most first. */
  async tasks(): Promise<TaskSummary[]> {
    const byName = new Map<string, Record<string, number>>();
    for (const { name, state } of await list.tasks({ limit: ALL })) {
      const states = byName.get(name) ?? {};
      byName.set(name, { ...states, [state]: (states[state] ?? 0) + 1 });
    }
    const rows = [...byName].map(([name, states]) => ({
      name, states, total: Object.values(states).reduce((sum, count) => sum + count, 0),
    }));
    return rows.sort((one, other) => other.total - one.total || one.name.localeCompare(other.name));
  },
};

const ALL = 1_000_000;

async function rowsOf<K extends StateKind>(kind: K, options: ListOptions<StateRowOf<K>> = {}): Promise<StateRowOf<K>[]> {
  const what = kind === "groups" ? "list.placementGroups" : `list.${kind}`;
  const { filters, limit } = checkOptions(what, options, { filters: object, limit: whole(1, ALL) });
  const query = { kind, limit, filters: checkFilters(what, kind, filters ?? {}) };
  const { json } = await askRows(currentSession(), query);
  return (JSON.parse(json) as object[]).map((row) => shapeRow(kind, row));
}

interface RowsQuery {
  readonly kind: string;
  readonly limit?: number | undefined;
  readonly filters?: Record<string, string>;
  /** Of processes, only this one is asked. */
  readonly process?: string;
}

export function askRows(session: Session, query: RowsQuery) {
  return session.ask("listState", query, "stateRows");
}
