// Which graphs are made while files are loaded: one that is made and neither exported nor used by another would vanish without
// a word.

import type { DagDefinition } from "./dag.ts";

type Definition = DagDefinition<object, unknown>;

let watched: Set<Definition> | undefined;

export function noteDefined(definition: Definition): void {
  watched?.add(definition);
}

/** It is a part of another graph, or is triggered by one. */
export function noteUsed(definition: Definition): void {
  watched?.delete(definition);
}

/** The graphs that are made while `load` runs, and that no other one uses. */
export async function definedWhile(load: () => Promise<void>): Promise<ReadonlySet<Definition>> {
  const before = watched;
  const mine = new Set<Definition>();
  watched = mine;
  try {
    await load();
  } finally {
    watched = before;
  }
  return mine;
}
