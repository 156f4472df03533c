// Tasks of a run by their names, and what has to run again with them.

import { NotFoundError } from "../../sdk/index.ts";
import { descendants, type Place, type Plan } from "../engine/plan.ts";
import type { Graph } from "../graph/graph.ts";
import { decidesOn } from "../graph/element-wise.ts";
import { sourcesOf } from "../graph/reads.ts";

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

/** The setups that something works between, and their teardowns. */
function between({ tasks }: Plan, { task, coords }: Place): Place[] {
  const { needs } = tasks[task];
  const ends = tasks.flatMap(({ setups }, place) => (setups.some((setup) => needs.includes(setup)) ? [place] : []));
  return [...needs, ...ends].map((one) => {
    const { mapped, scope } = tasks[one];
    return { task: one, coords: mapped || coords.length < scope.length ? [] : coords.slice(0, scope.length) };
  });
}

export function clearingOf({ plan, tasks: drafts }: Graph, places: readonly Place[], downstream: boolean): Clearing {
  const first = places.map(({ task }) => task);
  const whole = places.filter(({ coords }) => coords.length === 0);
  const tasks = new Set(whole.flatMap(({ task }) => [task, decidesOn(drafts[task]).place]));
  if (downstream) for (const task of descendants(plan, first)) tasks.add(task);
  const around = [...tasks].flatMap((task) => between(plan, { task, coords: [] }));
  const instances = places.filter(({ coords }) => coords.length > 0);
  for (const place of [...around, ...instances.flatMap((one) => between(plan, one))]) {
    if (place.coords.length === 0) tasks.add(place.task);
    else instances.push(place);
  }
  const read = [...first, ...tasks].flatMap((task) => sourcesOf(drafts[task]).map(({ place }) => place));
  return {
    tasks, instances, read: new Set(read.filter((task) => !tasks.has(task))),
  };
}
