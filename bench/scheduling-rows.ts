// Rows about scheduling alone: what a decision costs in a cluster of 1,000 nodes with 100,000 tasks, in virtual time.

import type { Row } from "./rows.ts";
import { type ClusterOutcome, ScheduledCluster } from "./scheduled-cluster.ts";

const TASKS = 100_000;
const PLAN = { nodes: 1000, cpus: 4, tasks: TASKS, jobs: 4, ownersOfJob: 2, seed: 1 };

let outcome: ClusterOutcome | undefined;

/** One run for all rows. */
function simulated(): ClusterOutcome {
  outcome ??= new ScheduledCluster(PLAN).run();
  return outcome;
}

function micros(millis: readonly number[], quantile: number): number {
  const sorted = [...millis].sort((left, right) => left - right);
  return sorted[Math.floor((sorted.length - 1) * quantile)] * 1000;
}

function row(name: string, unit: string, figure: (outcome: ClusterOutcome) => number): Row {
  return { name, unit, better: "lower", alone: true, measure: async () => [figure(simulated())] };
}

export const schedulingRows: readonly Row[] = [
  row("schedule_1k_nodes_decision_p50_us", "µs", ({ decisionMs }) => micros(decisionMs, 0.5)),
  row("schedule_1k_nodes_decision_p99_us", "µs", ({ decisionMs }) => micros(decisionMs, 0.99)),
  row("schedule_1k_nodes_view_p50_us", "µs", ({ viewMs }) => micros(viewMs, 0.5)),
  row("schedule_1k_nodes_us_a_task", "µs a task", ({ decisionMs, viewMs }) => {
    return ([...decisionMs, ...viewMs].reduce((sum, one) => sum + one, 0) * 1000) / TASKS;
  }),
  row("schedule_1k_nodes_makespan_ratio", "× ideal", ({ makespanMs, idealMs }) => makespanMs / idealMs),
];
