// Which programs services have, beyond those they were made with: by the actor of the service and the id of the graph.

import { kv, list } from "../../sdk/index.ts";

export interface ServedProgram {
  readonly hash: string;
  readonly paused: boolean;
  /** How many graphs of its id the service has had. */
  readonly version: number;
}

const PREFIX = "dag/served/";

export const servedKey = (service: string, dagId = ""): string => `${PREFIX}${service}/${dagId}`;

/** Those of services that live; what others had is forgotten. */
export async function* servedPrograms(): AsyncGenerator<string> {
  const dead = new Map<string, boolean>();
  for await (const [key, { hash }] of kv.scan<ServedProgram>(PREFIX)) {
    const service = key.slice(PREFIX.length, key.indexOf("/", PREFIX.length));
    if (!dead.has(service)) dead.set(service, await isDead(service));
    if (dead.get(service)) await kv.delete(key);
    else yield hash;
  }
}

async function isDead(actorId: string): Promise<boolean> {
  const [actor] = await list.actors({ filters: { id: actorId } });
  return actor === undefined || actor.state === "DEAD";
}
