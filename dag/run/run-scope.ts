// The scope of a run: its results live in it, whoever made them and whoever carries the run out, until its retention is over.

import { type Scope, scope } from "../../sdk/index.ts";

const SCOPES_MAX = 1000;
const scopes = new Map<string, Promise<Scope>>();

/** Made with the first result that is to be kept. */
export function scopeOf(runId: string): Promise<Scope> {
  let opening = scopes.get(runId);
  if (opening !== undefined) return opening;
  opening = scope(`dag/${runId}`, { namespace: "troupe-dags" });
  scopes.set(runId, opening);
  opening.catch(() => scopes.delete(runId));
  if (scopes.size > SCOPES_MAX) scopes.delete(scopes.keys().next().value as string);
  return opening;
}

/** Its results are not needed any more, anywhere. */
export async function endScopeOf(runId: string): Promise<void> {
  await (await scopeOf(runId)).free();
  scopes.delete(runId);
}
