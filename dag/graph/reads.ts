// Whose results something is made of: of a loop those that its value is made of; of what lies behind gates also theirs.

import type { Draft } from "./draft.ts";
import { nodesIn } from "./node.ts";

/** Tasks whose results are in a structure of nodes. */
export function tasksRead(value: unknown): Draft[] {
  return nodesIn(value).flatMap(({ source }) => {
    if (source.kind === "task" || source.kind === "states") return [source.task];
    return source.kind === "last" ? tasksOf(source.gate) : [];
  });
}

/** Tasks whose results a task may be given. */
export function sourcesOf(draft: Draft): Draft[] {
  const around = draft.scope.flatMap((gate) => [...gate.upstream, ...tasksOf(gate)]);
  return [...[...draft.upstream].flatMap((before) => [before, ...tasksOf(before)]), ...around];
}

function tasksOf({ loop }: Draft): Draft[] {
  return loop === undefined ? [] : tasksRead(loop.valueNode);
}
