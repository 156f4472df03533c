// Finding, watching and ending actors.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { coreOf, handleOf, HandleCore } from "../runtime/owner/index.ts";
import { currentSession } from "../runtime/owner/index.ts";
import type { ActorHandle } from "./types.ts";

/** The living actor of that name. NotFoundError when there is none. A handle found by name does not keep the actor alive. */
export async function getActor<T>(name: string, options: { namespace?: string } = {}): Promise<ActorHandle<T>> {
  if (typeof name !== "string" || name === "") throw new InvalidArgumentError("getActor: the name must be a non-empty string");
  const session = currentSession();
  const info = await session.resolveActor({ name, namespace: options.namespace ?? session.namespace });
  const client = session.actors.known(info.actor, info.className);
  session.actors.changed(info);
  const { methods } = JSON.parse(Buffer.from(info.options).toString() || "{}") as { methods?: string[] };
  return handleOf(new HandleCore(session, client, undefined, new Set(methods), {})) as ActorHandle<T>;
}

/**
 * Ends an actor at once, without clean-up: pending and later calls fail with ActorDiedError. `noRestart: false` lets it
 * restart while it has restarts left.
 */
export async function kill(handle: object, options: { noRestart?: boolean } = {}): Promise<void> {
  const { client, session } = coreOf(handle);
  await session.killActor(client.id, options.noRestart ?? true);
}

/** Resolves when the constructor has run; rejects with ActorDiedError and the cause when it did not. */
export async function ready(handle: object): Promise<void> {
  const { client, session } = coreOf(handle);
  await session.actorReady(client);
}

/** What is known of the actor now. */
export async function actorState(
  handle: object,
): Promise<{ id: string; state: string; nodeId: string; pid: number; restarts: number }> {
  const { client, session } = coreOf(handle);
  const info = await session.resolveActor({ actor: client.id });
  return { id: info.actor, state: info.state, nodeId: info.node, pid: info.pid, restarts: info.restarts };
}
