// defineOperator(): operators of one's own.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { type StandardSchema, validated } from "../graph/schema.ts";
import type { In, Node } from "../graph/node.ts";
import { checkTaskOptions, type DagTaskOptions, mergeOptions } from "../graph/options.ts";
import { checkId, task } from "../graph/task.ts";
import { ctx, DeferSignal } from "../run/context.ts";

export interface OperatorDefinition<I extends object, O> {
  readonly id: string;
  /** Checks and completes the inputs, where the task runs. */
  readonly schema?: StandardSchema<I> | undefined;
  readonly defaults?: DagTaskOptions | undefined;
  execute(inputs: I): O | Promise<O>;
  /** After `execute` began the work: asked until it gives something, which is the result then. No worker is held meanwhile. */
  poll?(inputs: I): O | undefined | Promise<O | undefined>;
  /** Between two polls. Default 5000. */
  readonly pollEveryMs?: number | undefined;
  /** Called when the task is cancelled while it runs. */
  cancel?(inputs: I): unknown;
}

export interface Operator<I extends object, O> {
  (inputs: In<I>, options?: DagTaskOptions): Node<Awaited<O>>;
}

const POLL_EVERY_MS = 5000;

export function defineOperator<I extends object, O>(definition: OperatorDefinition<I, O>): Operator<I, O> {
  const { id, defaults = {}, execute } = definition;
  checkId("operator", id);
  if (typeof execute !== "function") throw new InvalidArgumentError(`operator ${id}: execute must be a function`);
  checkTaskOptions(`operator ${id}: defaults`, defaults);
  const run = (inputs: I): Promise<O> => operate(definition, inputs);
  return (inputs, options = {}) => {
    const merged = mergeOptions(defaults, checkTaskOptions(`operator ${id}`, options));
    return task(merged.id ?? id, run, merged)(inputs as never) as Node<Awaited<O>>;
  };
}

export async function operate<I extends object, O>(definition: OperatorDefinition<I, O>, given: I): Promise<O> {
  const { id, schema } = definition;
  const inputs = schema === undefined ? given : await validated(`operator ${id}`, "inputs", schema, given);
  const { signal, resumed, now } = ctx();
  const stop = (): void => void Promise.resolve(definition.cancel?.(inputs)).catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  try {
    if (definition.poll === undefined) return await definition.execute(inputs);
    if (!resumed) await definition.execute(inputs);
    const found = await definition.poll(inputs);
    if (found !== undefined) return found;
    throw new DeferSignal(now().getTime() + (definition.pollEveryMs ?? POLL_EVERY_MS));
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
