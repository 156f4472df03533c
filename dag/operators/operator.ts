// defineOperator(): operators of one's own.

import { InvalidArgumentError } from "../../sdk/index.ts";
import { type StandardSchema, validated } from "../graph/schema.ts";
import type { In, Node } from "../graph/node.ts";
import { checkTaskOptions, type DagTaskOptions, mergeOptions } from "../graph/options.ts";
import { checkId, task } from "../graph/task.ts";
import { ctx, DeferSignal, isCalledOff } from "../run/context.ts";

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
  /** Called when the task is cancelled or its time is over, while it runs or waits for its next poll. */
  cancel?(inputs: I): unknown;
}

export interface Operator<I extends object, O> {
  (inputs: In<I>, options?: DagTaskOptions): Node<Awaited<O>>;
}

const POLL_EVERY_MS = 5000;

export function defineOperator<I extends object, O>(definition: OperatorDefinition<I, O>): Operator<I, O> {
  const { id, defaults = {} } = definition;
  checkId("operator", id);
  checkDefinition(definition);
  checkTaskOptions(`operator ${id}: defaults`, defaults);
  const run = (inputs: I): Promise<O> => operate(definition, inputs);
  return (inputs, options = {}) => {
    const merged = mergeOptions(defaults, checkTaskOptions(`operator ${id}`, options));
    const node = task(merged.id ?? id, run, merged)(inputs as never) as Node<Awaited<O>>;
    if (node.source.kind === "task") node.source.task.callsOff = definition.cancel !== undefined && definition.poll !== undefined;
    return node;
  };
}

const FUNCTIONS = ["execute", "poll", "cancel"] as const;
const FIELDS: readonly string[] = [...FUNCTIONS, "id", "schema", "defaults", "pollEveryMs"];

function checkDefinition<I extends object, O>(definition: OperatorDefinition<I, O>): void {
  const { id, execute, pollEveryMs: every = POLL_EVERY_MS } = definition;
  const refused = (what: string): Error => new InvalidArgumentError(`operator ${id}: ${what}`);
  const unknown = Object.keys(definition).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) throw refused(`${unknown} is not known; known are ${FIELDS.join(", ")}`);
  const wrong = FUNCTIONS.find((name) => definition[name] !== undefined && typeof definition[name] !== "function");
  const name = execute === undefined ? "execute" : wrong;
  if (name !== undefined) throw refused(`${name} must be a function`);
  if (!(every > 0)) throw refused(`pollEveryMs must be above 0, not ${String(every)}`);
}

export async function operate<I extends object, O>(definition: OperatorDefinition<I, O>, given: I): Promise<O> {
  const { id, schema } = definition;
  const inputs = schema === undefined ? given : await validated(`operator ${id}`, "inputs", schema, given);
  if (isCalledOff()) return (await definition.cancel?.(inputs)) as O;
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
