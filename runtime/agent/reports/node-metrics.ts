// The metrics of a node, as text for Prometheus: what its processes count, and what the agent itself sees of the node. Nothing
// here asks a process, so a blocked one delays nobody.

import { readFileSync } from "node:fs";
import { freemem, loadavg, totalmem } from "node:os";
import { type Labels, metricText, MetricTotals, type MetricChange } from "../../core/index.ts";
import { plainResources, resourceAmounts } from "../../../scheduler/index.ts";
import type { StoreHost, StoreStats } from "../../store/index.ts";
import type { AgentLeases } from "../agent-leases.ts";
import type { TransferCounts } from "../objects/incoming-object.ts";
import type { WorkerFacts } from "../workers/worker-pool.ts";

export interface NodeMetricsParts {
  readonly nodeId: string;
  readonly store: Pick<StoreHost, "stats">;
  readonly leases: () => Pick<AgentLeases, "total" | "available" | "backlog">;
  readonly workers: () => readonly WorkerFacts[];
  readonly transfers: () => TransferCounts;
}

type Row = readonly [labels: Labels, value: number];

/** Of the kernel's counts of a process's time. */
const TICKS_A_SECOND = 100;
const WORKER_STATES = ["STARTING", "IDLE", "LEASED", "ACTOR"];

export class NodeMetrics {
  readonly #parts: NodeMetricsParts;
  readonly #totals = new MetricTotals();
  /** CPU seconds of workers that ended, as far as they were seen: a counter must not go back. */
  #endedCpu = 0;
  readonly #seenCpu = new Map<number, number>();

  constructor(parts: NodeMetricsParts) {
    this.#parts = parts;
  }

  /** What a process of this node tells. */
  received(process: string, json: string): void {
    const { changes, dropped } = JSON.parse(json) as { readonly changes: MetricChange[]; readonly dropped: number };
    this.#totals.merge(process, changes, dropped);
  }

  /** The process has ended. */
  forget(process: string): void {
    this.#totals.forget(process);
  }

  text(): string {
    const { nodeId, store, leases, workers, transfers } = this.#parts;
    const rows = workers();
    const at = (labels: Labels, value: number): Row => [{ ...labels, node: nodeId }, value];
    return this.#processes(rows, at) + storeText(store.stats(), at) +
      transferText(transfers(), at) + workText(rows, leases(), at) +
      metricText("troupe_metric_series_dropped_total", "counter", "Series that were left out: a metric has too many.",
        [at({}, this.#totals.dropped)]) +
      this.#totals.text({ node: nodeId });
  }

  #processes(workers: readonly WorkerFacts[], at: (labels: Labels, value: number) => Row): string {
    const pids = new Set(workers.map(({ pid }) => pid));
    for (const [pid, seconds] of this.#seenCpu) {
      if (pids.has(pid)) continue;
      this.#endedCpu += seconds;
      this.#seenCpu.delete(pid);
    }
    let memory = 0;
    for (const pid of pids) {
      const used = useOf(pid);
      this.#seenCpu.set(pid, Math.max(used.cpuSeconds, this.#seenCpu.get(pid) ?? 0));
      memory += used.residentBytes;
    }
    const cpu = [...this.#seenCpu.values()].reduce((sum, seconds) => sum + seconds, this.#endedCpu);
    const { user, system } = process.cpuUsage();
    const cpuHelp = "CPU time of the agent and of all its workers.";
    return metricText("troupe_cpu_seconds_total", "counter", cpuHelp, [
      at({ role: "agent" }, (user + system) / 1e6), at({ role: "worker" }, cpu),
    ]) + metricText("troupe_resident_bytes", "gauge", "Resident memory of the agent and of all its workers.", [
      at({ role: "agent" }, process.memoryUsage.rss()), at({ role: "worker" }, memory),
    ]) + metricText("troupe_machine_memory_bytes", "gauge", "Memory of the machine.", [
      at({ kind: "total" }, totalmem()), at({ kind: "free" }, freemem()),
    ]) + metricText("troupe_machine_load", "gauge", "Load of the machine over one minute.", [at({}, loadavg()[0])]);
  }
}

function storeText({ used, capacity, objects, madeBytes }: StoreStats, at: (labels: Labels, value: number) => Row): string {
  return metricText("troupe_store_bytes", "gauge", "Shared memory for objects.", [
    at({ kind: "used" }, used), at({ kind: "capacity" }, capacity),
  ]) + metricText("troupe_store_objects", "gauge", "Objects in the store.", [at({}, objects)]) +
    metricText("troupe_store_made_bytes_total", "counter", "Bytes of objects ever made.", [at({}, madeBytes)]);
}

function transferText(
  { transfers, copiedBytes, servedBytes, damagedChunks }: TransferCounts, at: (labels: Labels, value: number) => Row,
): string {
  return metricText("troupe_transfers_total", "counter", "Objects of other nodes whose copying began.", [at({}, transfers)]) +
    metricText("troupe_transfer_bytes_total", "counter", "Bytes of objects that came from other nodes, and went to them.", [
      at({ direction: "in" }, copiedBytes), at({ direction: "out" }, servedBytes),
    ]) +
    metricText("troupe_transfer_damaged_chunks_total", "counter", "Chunks that came damaged and were fetched again.", [
      at({}, damagedChunks),
    ]);
}

function workText(
  workers: readonly WorkerFacts[], leases: ReturnType<NodeMetricsParts["leases"]>, at: (labels: Labels, value: number) => Row,
): string {
  const { backlog } = leases;
  const available = resourceAmounts(plainResources(leases.available));
  const amounts = Object.entries(resourceAmounts(plainResources(leases.total))).flatMap(([resource, amount]) => [
    at({ resource, kind: "total" }, amount), at({ resource, kind: "available" }, available[resource] ?? 0),
  ]);
  const states = WORKER_STATES.map((state) => at({ state }, workers.filter((worker) => worker.state === state).length));
  return metricText("troupe_workers", "gauge", "Worker processes, by state; LEASED are those that run tasks.", states) +
    metricText("troupe_backlog", "gauge", "Leases that are wanted here and not granted yet.", [at({}, backlog)]) +
    metricText("troupe_resources", "gauge", "What the node offers, and what of it is free.", amounts);
}

/** A process that has ended used nothing more. */
function useOf(pid: number): { readonly cpuSeconds: number; readonly residentBytes: number } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const resident = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
    return { cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND, residentBytes: Number(resident) * 1024 };
  } catch {
    // Gone, or a system without /proc.
    return { cpuSeconds: 0, residentBytes: 0 };
  }
}
