// How a run goes, for people: events in; a line for each change, or a tree of all tasks, out. Pure.

import type { DagEvent } from "../dag/index.ts";

interface Instance {
  state: string;
  since: number | undefined;
  until: number | undefined;
  reason: string | undefined;
}

interface Task {
  readonly id: string;
  readonly instances: Map<string, Instance>;
  readonly counts: Map<string, number>;
  isMapped: boolean;
}

const SIGNS: Readonly<Record<string, string>> = {
  none: "·", scheduled: "·", queued: "·", running: "●", deferred: "◌", upForRetry: "↻", success: "✓", failed: "✗", skipped: "↷",
  upstreamFailed: "⊘", removed: "-",
};
const COLOURS: Readonly<Record<string, number>> = {
  running: 36, success: 32, failed: 31, upForRetry: 33, upstreamFailed: 33, skipped: 90,
};
/** What is worth a line: what comes before it is over at once. */
const QUIET: ReadonlySet<string> = new Set(["scheduled", "queued"]);
const ENDED: ReadonlySet<string> = new Set(["success", "failed", "skipped", "upstreamFailed", "removed"]);
/** The most telling first: how a task with many instances is, and in which order they are counted. */
const ORDER = [
  "failed", "upForRetry", "running", "deferred", "queued", "scheduled", "upstreamFailed", "skipped", "success", "none",
];

export class RunView {
  readonly #tasks = new Map<string, Task>();
  readonly #colours: boolean;
  state = "queued";

  /** `ids`: the tasks of the graph, in its order. */
  constructor(ids: readonly string[] = [], colours = false) {
    this.#colours = colours;
    for (const id of ids) this.#task(id);
  }

  /** Takes an event in; gives the line for it, if it is worth one. */
  see({ type, at, taskId, state, value }: DagEvent): string | undefined {
    if (type === "run" && state !== undefined) this.state = state;
    if (type !== "task" || taskId === undefined || state === undefined) return undefined;
    const task = this.#task(taskId.replace(/\[[\d,]+\]$/, ""));
    task.isMapped ||= taskId !== task.id;
    const known = task.instances.get(taskId);
    const instance = known ?? { state: "none", since: undefined, until: undefined, reason: undefined };
    task.instances.set(taskId, instance);
    if (known !== undefined) task.counts.set(known.state, (task.counts.get(known.state) ?? 1) - 1);
    task.counts.set(state, (task.counts.get(state) ?? 0) + 1);
    instance.state = state;
    instance.reason = value === undefined ? undefined : String(value);
    if (state === "running") [instance.since, instance.until] = [at.getTime(), undefined];
    if (ENDED.has(state)) instance.until = at.getTime();
    if (QUIET.has(state)) return undefined;
    const took = ENDED.has(state) ? shownTook(instance, at.getTime()) : "";
    return [at.toISOString(), taskId, state, took, reasonOf(instance)].filter((part) => part !== "").join(" ");
  }

  /** All tasks as a tree: groups, and in them one line a task. */
  lines(now: number): string[] {
    const lines: string[] = [];
    let path: readonly string[] = [];
    for (const task of this.#tasks.values()) {
      const groups = task.id.split(".");
      const name = groups.pop() as string;
      const shared = groups.findIndex((group, depth) => path[depth] !== group);
      for (let depth = shared < 0 ? groups.length : shared; depth < groups.length; depth += 1) {
        lines.push(`${"  ".repeat(depth)}${groups[depth]}`);
      }
      path = groups;
      lines.push("  ".repeat(groups.length) + this.#line(task, name, now));
    }
    return lines;
  }

  #line(task: Task, name: string, now: number): string {
    const state = ORDER.find((one) => (task.counts.get(one) ?? 0) > 0) ?? "none";
    const sign = this.#coloured(SIGNS[state] ?? "?", state);
    const instances = [...task.instances.values()];
    if (!task.isMapped) {
      const [one] = instances;
      const parts = [sign, name, state === "none" ? "" : state, one === undefined ? "" : shownTook(one, now)];
      return [...parts, one === undefined ? "" : reasonOf(one)].filter((part) => part !== "").join(" ");
    }
    const counts = ORDER.flatMap((one) => ((task.counts.get(one) ?? 0) > 0 ? [`${task.counts.get(one)} ${one}`] : []));
    const ended = instances.reduce((sum, one) => sum + (ENDED.has(one.state) ? 1 : 0), 0);
    const failed = instances.find((one) => one.state === "failed");
    const why = failed === undefined ? "" : reasonOf(failed);
    const parts = [sign, `${name} [${ended}/${instances.length}]`, counts.join(", "), why];
    return parts.filter((part) => part !== "").join(" ");
  }

  #coloured(text: string, state: string): string {
    return this.#colours && COLOURS[state] !== undefined ? `\x1b[${COLOURS[state]}m${text}\x1b[0m` : text;
  }

  #task(id: string): Task {
    const known = this.#tasks.get(id);
    if (known !== undefined) return known;
    const task = { id, instances: new Map(), counts: new Map(), isMapped: false };
    this.#tasks.set(id, task);
    return task;
  }
}

function reasonOf({ reason = "" }: Instance): string {
  return reason === "" ? "" : `(${reason.split("\n")[0].slice(0, 200)})`;
}

function shownTook({ since, until }: Instance, now: number): string {
  return since === undefined ? "" : shownMs((until ?? now) - since);
}

/** "12ms", "3.4s", "2m05s", "1h02m". */
export function shownMs(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const [minutes, seconds] = [Math.floor(ms / 60_000), Math.floor((ms % 60_000) / 1000)];
  if (minutes < 60) return `${minutes}m${String(seconds).padStart(2, "0")}s`;
  return `${Math.floor(minutes / 60)}h${String(minutes % 60).padStart(2, "0")}m`;
}
