// A graph for people who look at it: rows of its tasks, and what it says of itself. Plain data.

import type { Draft } from "./draft.ts";
import { decidesOn } from "./element-wise.ts";
import type { DagDefinition, DagSchedule } from "./dag.ts";
import { mermaidOf } from "./mermaid.ts";

type Definition = DagDefinition<object, unknown>;

export interface GraphTaskRow {
  readonly id: string;
  readonly kind: string;
  /** One instance an element of a list. */
  readonly mapped: boolean;
  readonly upstream: readonly string[];
  readonly downstream: readonly string[];
  readonly triggerRule: string;
  readonly retries: number;
  readonly pool?: string | undefined;
  readonly queue?: string | undefined;
  readonly doc?: string | undefined;
}

export interface GraphDetail {
  readonly id: string;
  readonly schedule: string;
  readonly tags: readonly string[];
  readonly doc?: string | undefined;
  /** Defaults; none with a schema. */
  readonly params: Readonly<Record<string, unknown>>;
  readonly catchup: boolean;
  readonly maxActiveRuns: number;
  readonly warnings: readonly string[];
  readonly tasks: readonly GraphTaskRow[];
  readonly mermaid: string;
}

const MAX_ACTIVE_RUNS = 16;

/** Runs of a schedule that may be under way at once. */
export function maxActiveRunsOf({ maxActiveRuns = MAX_ACTIVE_RUNS }: { readonly maxActiveRuns?: number | undefined }): number {
  return maxActiveRuns;
}

export function scheduleText(schedule: DagSchedule): string {
  if (schedule.kind === "times") return schedule.timetable.text ?? "a timetable";
  return { none: "none", continuous: "@continuous", assets: "assets" }[schedule.kind];
}

export function describeGraph({ id, options, graph, schedule }: Definition): GraphDetail {
  const { tags = [], doc, params = {}, catchup = false } = options;
  return {
    id, schedule: scheduleText(schedule), tags, doc, params: "~standard" in params ? {} : { ...params }, catchup,
    maxActiveRuns: maxActiveRunsOf(options),
    warnings: graph.warnings, tasks: graph.tasks.filter(({ kind }) => kind !== "gate").map(taskRow), mermaid: mermaidOf(graph),
  };
}

function taskRow(draft: Draft): GraphTaskRow {
  const { id, kind, expansion, isElementWise, downstream, teardown, options } = draft;
  const { triggerRule = "allSuccess", retries = 0, pool, queue, doc } = options;
  return {
    id, kind: teardown === undefined ? kind : "teardown", mapped: expansion !== undefined || isElementWise,
    upstream: idsOf(decidesOn(draft).upstream),
    downstream: idsOf(downstream), triggerRule, retries, pool: typeof pool === "object" ? pool.name : pool, queue, doc,
  };
}

const idsOf = (drafts: ReadonlySet<Draft>): string[] => [...drafts].map(({ id }) => id);
