// Why a task of a run is where it is, in words and as data.

import { type Coords } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import { isTerminal, type TaskState } from "../engine/states.ts";
import type { Draft } from "../graph/draft.ts";

export interface Reason {
  readonly kind: string;
  readonly text: string;
  readonly taskId?: string;
  readonly state?: string;
}

export interface Why {
  readonly text: string;
  readonly reasons: readonly Reason[];
}

type Block = (coords: Coords) => { readonly kind: string; readonly text: string } | undefined;

interface At {
  readonly coords: Coords;
  readonly state: TaskState;
  readonly reason?: string | undefined;
}

export function explain(machine: RunMachine, draft: Draft, block: Block): Why {
  const reasons: Reason[] = [];
  const placesOf = ({ place }: Draft): readonly At[] => (
    [...machine.slots()].filter(({ task }) => task === place).flatMap((slot): readonly At[] => slot.instances ?? [slot])
  );
  const own = placesOf(draft);
  for (const at of own) {
    const where = at.coords.length === 0 ? "" : ` [${at.coords.join(",")}]`;
    if (at.state === "none") continue;
    const held = at.state === "scheduled" ? block(at.coords) : undefined;
    if (held !== undefined) reasons.push({ ...held, state: at.state });
    else reasons.push({ kind: at.state, state: at.state, text: `it is ${at.state}${where}${at.reason ? `: ${at.reason}` : ""}` });
  }
  for (const before of draft.upstream) {
    const ends = placesOf(before);
    const open = ends.filter(({ state }) => !isTerminal(state));
    const bad = ends.filter(({ state }) => state === "failed" || state === "upstreamFailed" || state === "skipped");
    if (open.length > 0 || ends.length === 0) {
      reasons.push({ kind: "upstream", taskId: before.id, state: open[0]?.state ?? "none", text: `it waits for ${before.id}` });
    } else if (bad.length > 0 && own.some(({ state }) => state === "upstreamFailed" || state === "skipped")) {
      reasons.push({ kind: "upstream", taskId: before.id, state: bad[0].state, text: `${before.id} is ${bad[0].state}` });
    }
  }
  if (reasons.length === 0) reasons.push({ kind: "gate", text: "the group it is in is not expanded yet" });
  return { text: `${draft.id}: ${reasons.slice(0, 5).map(({ text }) => text).join("; ")}`, reasons };
}
