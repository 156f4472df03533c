// Why a task of a run is where it is, in words and as data.

import { type Coords, instanceName, isWithin } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import { isTerminal, type TaskState } from "../engine/states.ts";
import type { Draft } from "../graph/draft.ts";
import { decidesOn } from "../graph/element-wise.ts";

export interface Reason {
  readonly kind: string;
  readonly text: string;
  readonly taskId?: string;
  readonly state?: string;
  /** When it goes on. */
  readonly until?: Date;
  /** What the cluster says of an attempt that it has. */
  readonly reasons?: readonly { readonly kind: string }[];
}

export interface Why {
  readonly text: string;
  readonly reasons: readonly Reason[];
}

/** What admission says of an instance that is ready. */
type Block = (coords: Coords) => { readonly kind: string; readonly text: string } | undefined;

interface At {
  readonly coords: Coords;
  readonly state: TaskState;
  readonly reason?: string | undefined;
  readonly startedAt?: number | undefined;
  readonly until?: number | undefined;
  readonly nodeId?: string | undefined;
}

/** Reasons in a text: of ten thousand instances the first tell enough. */
const TOLD = 5;

/** `only`: of one instance. */
export function explain(machine: RunMachine, draft: Draft, block: Block, only: Coords = []): Why {
  const placesOf = ({ place }: Draft): readonly At[] => machine.placesOf(place);
  const own = placesOf(draft).filter((one) => isWithin(one, only));
  const reasons = own.filter(({ state }) => state !== "none").map((at) => reasonOf(draft.id, at, block));
  const waits = own.length === 0 || own.some(({ state }) => state === "none");
  for (const before of decidesOn(draft).upstream) {
    const ends = placesOf(before);
    const open = ends.filter(({ state }) => !isTerminal(state));
    const bad = ends.filter(({ state }) => state === "failed" || state === "upstreamFailed" || state === "skipped");
    if (waits && (open.length > 0 || ends.length === 0)) {
      const state = open[0]?.state ?? "none";
      reasons.push({ kind: "upstream", taskId: before.id, state, text: `it waits for ${before.id}, which is ${state}` });
    } else if (bad.length > 0 && own.some(({ state }) => state === "upstreamFailed" || state === "skipped")) {
      reasons.push({ kind: "upstream", taskId: before.id, state: bad[0].state, text: `${before.id} is ${bad[0].state}` });
    }
  }
  if (waits && machine.isBlocked(draft.place)) {
    reasons.push({ kind: "past", text: "it waits for the same task of the run before (dependsOnPast)" });
  }
  if (reasons.length === 0) reasons.push({ kind: "gate", text: "the group it is in is not expanded yet" });
  return whyOf(draft.id, reasons);
}

export function whyOf(id: string, reasons: readonly Reason[]): Why {
  const more = reasons.length > TOLD ? `; and ${reasons.length - TOLD} more` : "";
  return { text: `${id}: ${reasons.slice(0, TOLD).map(({ text }) => text).join("; ")}${more}`, reasons };
}

function reasonOf(id: string, at: At, block: Block): Reason {
  const { coords, state } = at;
  const name = coords.length === 0 ? "it" : instanceName(id, coords).id;
  const why = at.reason === undefined || at.reason === "" ? "" : `: ${at.reason}`;
  const until = at.until === undefined ? undefined : new Date(at.until);
  const goesOn = until === undefined ? {} : { until };
  switch (state) {
    case "scheduled": {
      const held = block(coords);
      if (held !== undefined) return { ...held, text: `${name} may run, but ${held.text}`, state };
      return { kind: state, state, text: `${name} may run, and is started as soon as it is its turn` };
    }
    case "upForRetry":
      return { kind: state, state, text: `${name} failed, and is tried again at ${until?.toISOString()}${why}`, ...goesOn };
    case "deferred":
      return { kind: state, state, text: `${name} goes on at ${until?.toISOString()}`, ...goesOn };
    case "queued":
      return { kind: state, state, text: `${name} is queued: it runs as soon as the cluster has room for it` };
    case "running": {
      const since = at.startedAt === undefined ? "" : ` since ${new Date(at.startedAt).toISOString()}`;
      return { kind: state, state, text: `${name} is running${since}` };
    }
    default: return { kind: state, state, text: `${name} is ${state}${why}` };
  }
}
