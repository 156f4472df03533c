// A graph as a Mermaid flowchart.

import type { Draft } from "./draft.ts";
import type { Graph } from "./graph.ts";

const SHAPES: Readonly<Record<string, readonly [open: string, close: string]>> = {
  branch: ["{", "}"], shortCircuit: ["{{", "}}"], latestOnly: ["{{", "}}"], noop: ["([", "])"],
};

export function mermaidOf({ tasks }: Graph): string {
  const shown = tasks.filter(({ kind }) => kind !== "gate" && kind !== "loop");
  const lines = ["flowchart LR", ...tree(shown, "", 1)];
  for (const task of shown) {
    for (const next of task.downstream)
      for (const end of shownOf(next, shown)) lines.push(`  ${nameOf(task)} --> ${nameOf(end)}`);
  }
  for (const loop of tasks.filter(({ kind }) => kind === "loop")) {
    if (loop.loop === undefined) continue;
    for (const next of loop.downstream) lines.push(`  ${nameOf(loop.loop.body)} --> ${nameOf(next)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** A gate stands for what lies behind it and has nothing before it there. */
function shownOf(task: Draft, shown: readonly Draft[]): readonly Draft[] {
  if (shown.includes(task)) return [task];
  return shown.filter(({ scope, upstream }) => (
    scope.at(-1) === task && ![...upstream].some((before) => before.scope.includes(task))
  ));
}

function tree(tasks: readonly Draft[], prefix: string, depth: number): string[] {
  const indent = "  ".repeat(depth);
  const lines: string[] = [];
  const groups = new Map<string, Draft[]>();
  for (const task of tasks) {
    const rest = task.id.slice(prefix.length);
    const dot = rest.indexOf(".");
    if (dot >= 0) {
      const group = rest.slice(0, dot);
      groups.set(group, [...(groups.get(group) ?? []), task]);
      continue;
    }
    const [open, close] = SHAPES[task.kind] ?? ["[", "]"];
    const isMapped = task.expansion !== undefined || task.isElementWise;
    lines.push(`${indent}${nameOf(task)}${open}"${rest}${isMapped ? " []" : ""}"${close}`);
  }
  for (const [group, inside] of groups) {
    lines.push(`${indent}subgraph ${`${prefix}${group}`.replaceAll(/[^A-Za-z0-9_]/g, "_")}["${group}"]`);
    lines.push(...tree(inside, `${prefix}${group}.`, depth + 1), `${indent}end`);
  }
  return lines;
}

const nameOf = ({ id, place }: Draft): string => `t${place}_${id.replaceAll(/[^A-Za-z0-9_]/g, "_")}`;
