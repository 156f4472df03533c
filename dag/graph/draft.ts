// A task of a graph while it is built: its place, code, arguments and edges.

import type { TaskKind } from "../engine/plan.ts";
import type { DagTaskOptions } from "./options.ts";

/** What a task or group is expanded over. */
export type Expansion =
  /** The cross product of lists, by name. */
  | { readonly kind: "product"; readonly lists: Readonly<Record<string, unknown>> }
  /** One list of sets of arguments; `rest` fills the names that a set has not, in order. */
  | { readonly kind: "sets"; readonly list: unknown; readonly rest: readonly unknown[] };

/** Where an argument of an expanded task comes from. */
export interface Argument {
  /** By this name from the element; otherwise `value` stands for itself. */
  readonly name?: string;
  readonly value?: unknown;
}

export interface Loop {
  readonly max: number;
  readonly until: ((value: never) => unknown) | undefined;
  readonly initial: unknown;
  /** The task whose end ends a round, and the node of its value. */
  readonly body: Draft;
  readonly valueNode: unknown;
}

export interface Draft {
  readonly place: number;
  readonly id: string;
  readonly kind: TaskKind;
  readonly fn: ((...args: never[]) => unknown) | undefined;
  args: readonly Argument[];
  expansion: Expansion | undefined;
  readonly options: DagTaskOptions;
  /** Gates it lies behind, outermost first. */
  scope: readonly Draft[];
  upstream: Set<Draft>;
  readonly downstream: Set<Draft>;
  /** Of a branch: what its keys lead to. */
  choices: Readonly<Record<string, readonly Draft[]>>;
  loop: Loop | undefined;
  /** Of a gate that belongs to an expanded task: that task. */
  leads: Draft | undefined;
  /** Expanded, by the gate it lies behind. */
  isElementWise: boolean;
  teardown: { readonly setups: readonly Draft[]; readonly failRun: boolean } | undefined;
  isSetup: boolean;
  /** The definition of a graph that it starts a run of. */
  trigger: { readonly definition: object; readonly wait: boolean } | undefined;
  /** What it began elsewhere is to be ended when it is stopped while it waits. */
  callsOff: boolean;
}
