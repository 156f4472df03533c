// trigger: a run of another graph, with parameters that may be nodes.

import { InvalidArgumentError } from "../../sdk/index.ts";
import type { Dag } from "../dag.ts";
import { Builder } from "../graph/builder.ts";
import type { Result } from "../graph/dag.ts";
import type { In, Node } from "../graph/node.ts";
import { checkTaskOptions, type DagTaskOptions } from "../graph/options.ts";
import { nodeOf } from "../graph/task.ts";

export interface TriggerOptions extends DagTaskOptions {
  /** The task lasts as long as the run, gives its result, and fails when it does. Default false: it gives the run's id. */
  readonly wait?: boolean | undefined;
}

type Params<P> = { readonly [K in keyof P]?: In<P[K]> };

/** A run of its own, unlike a graph that is called. */
export function trigger<P extends object, B>(
  dag: Dag<P, B>, params: Params<P> | undefined, options: TriggerOptions & { readonly wait: true },
): Node<Result<B>>;
export function trigger<P extends object, B>(dag: Dag<P, B>, params?: Params<P>, options?: TriggerOptions): Node<string>;
export function trigger(
  dag: unknown, params: object = {}, { wait = false, ...options }: TriggerOptions = {},
): Node<unknown> {
  const { definition, id } = (dag ?? {}) as unknown as { definition?: object; id: string };
  if (definition === undefined) throw new InvalidArgumentError("trigger: expected a graph made with dag()");
  const checked = checkTaskOptions(`trigger ${id}`, options);
  const draft = Builder.here(`trigger ${id}`).add(checked.id ?? `trigger_${id}`, {
    kind: "trigger", args: [{ value: params }], options: checked,
  });
  draft.trigger = { definition, wait };
  return nodeOf(draft);
}
