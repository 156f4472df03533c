// Tasks of a run by their names, and what has to run again with them.

import { NotFoundError } from "../../sdk/index.ts";
import { descendants, type Place } from "../engine/plan.ts";
import type { Graph } from "../graph/graph.ts";

/** Of a task, "train", or of an instance of it, "train[2]". @throws NotFoundError. */
export function placeOf({ tasks }: Graph, runId: string, name: string): Place {
  const [, id, index] = /^(.*?)(?:\[([\d,]+)\])?$/.exec(name) ?? [];
  const draft = tasks.find((one) => one.id === id);
  if (draft === undefined) {
    const known = tasks.filter(({ kind }) => kind !== "gate").map((one) => one.id);
    throw new NotFoundError(`run ${runId} has no task ${name}; it has ${known.slice(0, 20).join(", ")}`);
  }
  return { task: draft.place, coords: index === undefined ? [] : index.split(",").map(Number) };
}

export interface Clearing {
  readonly tasks: ReadonlySet<number>;
  readonly instances: readonly Place[];
  /** Tasks whose results these read, and which do not run again themselves. */
  readonly read: ReadonlySet<number>;
}

export function clearingOf({ plan, tasks: drafts }: Graph, places: readonly Place[], downstream: boolean): Clearing {
  const first = places.map(({ task }) => task);
  const tasks = new Set(places.filter(({ coords }) => coords.length === 0).map(({ task }) => task));
  if (downstream) for (const task of descendants(plan, first)) tasks.add(task);
  const read = [...first, ...tasks].flatMap((task) => [...drafts[task].upstream].map(({ place }) => place));
  return {
    tasks, instances: places.filter(({ coords }) => coords.length > 0), read: new Set(read.filter((task) => !tasks.has(task))),
  };
}
