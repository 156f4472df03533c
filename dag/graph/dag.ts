// dag(): a graph with a name and a schedule. Its body runs once, when it is made; what it gives is the result of its runs.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { GraphError } from "../../sdk/index.ts";
import { Builder } from "./builder.ts";
import { type Graph, graphOf } from "./graph.ts";
import { type In, Node } from "./node.ts";
import { type Callbacks, checkTaskOptions, type DagTaskOptions } from "./options.ts";
import { checkId } from "./task.ts";

export interface DagOptions<P extends object = Record<string, never>> {
  /** Defaults; a run may give others. */
  params?: P | undefined;
  defaultTask?: DagTaskOptions | undefined;
  /** Tasks at once in one run. */
  maxActiveTasks?: number | undefined;
  /** Milliseconds for a run. */
  timeoutMs?: number | undefined;
  tags?: readonly string[] | undefined;
  doc?: string | undefined;
  onSuccess?: Callbacks | undefined;
  onFailure?: Callbacks | undefined;
}

/** What a run gives for what the body gave: values for nodes. */
export type Result<B> = B extends Node<infer T> ? T
  : B extends (...args: never[]) => unknown ? B
    : B extends object ? { [K in keyof B]: Result<B[K]> } : B;

export type ParamNodes<P> = { readonly [K in keyof P]: Node<P[K]> };

export interface DagDefinition<P extends object, B> {
  readonly id: string;
  readonly options: DagOptions<P>;
  readonly graph: Graph;
  /** Builds it into the graph that is being built, in the same run. */
  inline(params: { [K in keyof P]?: In<P[K]> }): B;
}

const OPTIONS = new Set(["params", "defaultTask", "maxActiveTasks", "timeoutMs", "tags", "doc", "onSuccess", "onFailure"]);

export function defineDag<P extends object, B>(
  id: string, options: DagOptions<P>, body: (params: ParamNodes<P>) => B,
): DagDefinition<P, B> {
  checkId("dag", id);
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name))
      throw new InvalidArgumentError(`dag ${id}: option ${name} is not known; known are ${[...OPTIONS].join(", ")}`);
  }
  if (typeof body !== "function") throw new InvalidArgumentError(`dag ${id}: expected a function, not ${typeof body}`);
  const defaults = checkTaskOptions(`dag ${id}: defaultTask`, options.defaultTask ?? {});
  const builder = new Builder(defaults);
  const result = builder.build(() => body(paramNodes(id, options.params)));
  const graph = graphOf(id, builder.tasks, result);
  const inline = (params: { [K in keyof P]?: In<P[K]> }): B => {
    checkParams(id, options.params, params);
    const given = { ...options.params, ...params } as Record<string, unknown>;
    const here = Builder.here(`dag ${id}`);
    return here.inGroup(here.uniqueId(id), () => body(given as ParamNodes<P>));
  };
  return { id, options, graph, inline };
}

/** @throws InvalidArgumentError for a name that the graph has no parameter of. */
export function checkParams(id: string, defaults: object | undefined, given: unknown): void {
  if (typeof given !== "object" || given === null)
    throw new InvalidArgumentError(`dag ${id}: params must be an object, not ${typeof given}`);
  for (const name of Object.keys(given)) {
    if (defaults !== undefined && Object.hasOwn(defaults, name)) continue;
    const known = Object.keys(defaults ?? {}).join(", ") || "none";
    throw new InvalidArgumentError(`dag ${id} has no parameter ${name}; it has ${known}`);
  }
}

function paramNodes<P extends object>(id: string, params: P | undefined): ParamNodes<P> {
  const nodes = Object.fromEntries(Object.keys(params ?? {}).map((name) => [name, new Node({ kind: "param", name })]));
  return new Proxy(nodes, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(target, name)) return target[name];
      if (name === "then" || name === "toJSON") return undefined;
      if (typeof name === "symbol") throw new GraphError(`dag ${id}: params are not there yet: give them to tasks`);
      throw new GraphError(`dag ${id} has no parameter ${name}; it has ${Object.keys(target).join(", ") || "none"}`);
    },
  }) as ParamNodes<P>;
}

