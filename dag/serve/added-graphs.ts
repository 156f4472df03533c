// Graphs that were added to a service after it was made: it serves them in its next life too.

import { kv } from "../../sdk/index.ts";
import { keepCode, loadCode } from "../journal/programs.ts";
import { servedKey, type ServedProgram } from "../journal/served.ts";
import type { Definition } from "./dag-server.ts";

export interface Added {
  readonly definition: Definition;
  readonly paused: boolean;
  readonly version: number;
}

/** `service`: of this service, and of none that comes after it under its name. */
export async function keepAdded(service: string, graphs: readonly Added[]): Promise<void> {
  for (const { definition, paused, version } of graphs) {
    const { id } = definition;
    const { hash, reason } = await keepCode(definition, `dag ${id}`);
    if (hash !== undefined) await kv.set(servedKey(service, id), { hash, paused, version });
    else process.emitWarning(`dag ${id} is served until its service dies: its code can't be kept: ${reason}`);
  }
}

export async function addedTo(service: string): Promise<Added[]> {
  const added: Added[] = [];
  for await (const [, { hash, paused, version }] of kv.scan<ServedProgram>(servedKey(service))) {
    added.push({ definition: await loadCode<Definition>(hash), paused, version });
  }
  return added;
}
