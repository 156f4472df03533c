// What a run asks the cluster about values: how long lists are, whether a loop goes on.

import type { Coords } from "../engine/plan.ts";
import type { Draft } from "../graph/draft.ts";
import { lengthOf } from "./inputs.ts";
import type { Resolver } from "./resolver.ts";
import type { Runner } from "./runner.ts";

export type Answer = { readonly sizes?: readonly number[] } & (
  | { readonly type: "expanded"; readonly size: number }
  | { readonly type: "round"; readonly stop: boolean }
);

/** How many instances there are, and how long each of the lists is. */
export async function instancesOf(resolver: Resolver, runner: Runner, draft: Draft, coords: Coords): Promise<Answer> {
  const lists = resolver.lists(draft.expansion!, { scope: draft.scope, coords });
  const sizes = await Promise.all(lists.map((list) => lengthOf(list, (held) => runner.length(held))));
  return { type: "expanded", size: sizes.reduce((all, one) => all * one, 1), sizes };
}

/** Whether the loop ends with this round. */
export async function endsLoop(
  resolver: Resolver, runner: Runner, gate: Draft, coords: Coords, round: number,
): Promise<Answer> {
  const value = resolver.inputs(gate.loop!.valueNode, { scope: [...gate.scope, gate], coords: [...coords, round] });
  return { type: "round", stop: await runner.judge(gate.loop!.until as (value: never) => unknown, value) };
}
