// `resources: (inputs) => ({ numCpus, … })`: what an attempt needs is asked when its inputs are there, where they are.

import { checkTaskOptions } from "../../sdk/contract.ts";
import { get, type ObjectRef, remote, type RemoteFunction, type TaskOptions } from "../../sdk/index.ts";
import type { Draft } from "../graph/draft.ts";
import type { Sizing } from "../graph/options.ts";
import { parameterNames } from "../graph/parameters.ts";
import { evaluate } from "./inputs.ts";
import type { Attempt, Ended } from "./runner.ts";
import type { Note } from "./telling.ts";

type Asked = RemoteFunction<[args: readonly unknown[], ...values: unknown[]], Promise<TaskOptions>>;
const asked = new WeakMap<Sizing, Asked>();

/** @throws InvalidArgumentError for what are no options of a task; what the function throws. */
export async function sizeOf(draft: Draft, args: readonly unknown[], refs: readonly ObjectRef<unknown>[]): Promise<TaskOptions> {
  const sizing = draft.options.resources as Sizing;
  const names = draft.options.args ?? (draft.fn === undefined ? undefined : parameterNames(draft.fn)) ?? [];
  const ask = asked.get(sizing) ?? remote(async (given: readonly unknown[], ...values: unknown[]) => {
    const inputs = await Promise.all(given.map((one) => evaluate(one, (handle) => values[handle as number])));
    const named = Object.fromEntries(names.map((name, place) => [name, inputs[place]]));
    return sizing(Object.assign(inputs, named) as unknown as Parameters<Sizing>[0]);
  }, { numCpus: 0, name: `${draft.id}: resources` });
  asked.set(sizing, ask);
  return checkTaskOptions(await get(ask.remote(args, ...refs)), `task ${draft.id}: resources gave what is none:`);
}

/** An attempt that begins once it is known what it needs. */
export function afterSizing(
  size: Promise<TaskOptions>, start: (size: TaskOptions) => Attempt, failed: (error: unknown) => Ended,
): Attempt {
  let begun: Attempt | undefined;
  let stopped: string | undefined;
  let listener: ((note: Note) => void) | undefined;
  const begin = async (): Promise<Ended> => {
    try {
      const options = await size;
      if (stopped !== undefined) return failed(new Error(stopped));
      begun = start(options);
      if (listener !== undefined) begun.hear?.(listener);
    } catch (error) {
      return failed(error);
    }
    return begun.ended;
  };
  return {
    ended: begin(),
    stop: (reason) => {
      stopped = reason;
      begun?.stop(reason);
    },
    start: () => begun?.start?.(),
    hear: (one) => {
      listener = one;
      begun?.hear?.(one);
    },
    explain: async () => (await begun?.explain?.()) ?? { text: "it waits for what its resources depend on", reasons: [] },
  };
}
