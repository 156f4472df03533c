// Finding, watching and ending actors.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { bool, checkName, checkOptions, checkWait } from "../runtime/option-checks.ts";
import {
  coreOf, currentSession, findSession, handleOf, HandleCore, type HandleFacts, optionsOf, type WaitOptions,
} from "../runtime/owner/index.ts";
import { patiently } from "./patience.ts";
import type { ActorHandle } from "./types.ts";

/** The living actor of that name. NotFoundError when there is none. A handle found by name does not keep the actor alive. */
export async function getActor<T>(
  name: string, options: { readonly namespace?: string | undefined } = {},
): Promise<ActorHandle<T>> {
  const namespace = checkName("getActor", name, options);
  const session = currentSession();
  const info = await session.resolveActor({ name, namespace: namespace ?? session.namespace });
  const facts = JSON.parse(Buffer.from(info.options).toString()) as HandleFacts;
  const handleOptions = optionsOf(facts);
  const client = session.actors.known(info.actor, info.className, handleOptions);
  session.actors.changed(info);
  return handleOf(new HandleCore(session, client, undefined, new Set(facts.methods), handleOptions)) as ActorHandle<T>;
}

/**
 * Ends an actor at once, without clean-up: pending and later calls fail with ActorDiedError. `noRestart: false` lets it
 * restart while it has restarts left.
 */
export async function kill(handle: object, options: { readonly noRestart?: boolean | undefined } = {}): Promise<void> {
  const core = coreOf(handle);
  const { noRestart = true } = checkOptions("kill", options, { noRestart: bool });
  await core.session.killActor(core, noRestart);
}

/**
 * Ends the actor whose method calls it, gracefully: throws, so nothing after it runs. That call and all that wait fail with
 * ActorDiedError, calls that run get 30 s to end, then the instance's `[Symbol.asyncDispose]()` runs. It is not restarted.
 *
 * @throws InvalidArgumentError outside of an actor's code.
 */
export function exitActor(): never {
  const exit = findSession()?.attempts.current()?.exitActor;
  if (exit === undefined) throw new InvalidArgumentError("exitActor: only the code of an actor's method can call it");
  throw exit();
}

/**
 * Resolves when the constructor has run; rejects with ActorDiedError and the cause when it did not.
 *
 * @throws GetTimeoutError when it had not run after `timeoutMs`.
 */
export async function ready(handle: object, options?: WaitOptions): Promise<void> {
  const core = coreOf(handle);
  const { id, className } = core.client;
  const what = `ready: actor ${className} (${id}) had not been constructed`;
  await patiently(core.session, what, checkWait("ready", options) ?? {}, () => core.session.actorReady(core), () => {});
}

/** What is known of the actor now. */
export async function actorState(
  handle: object,
): Promise<{ id: string; state: string; nodeId: string; pid: number; restarts: number }> {
  const { client, session } = coreOf(handle);
  const info = await session.resolveActor({ actor: client.existing?.id ?? client.id });
  return { id: info.actor, state: info.state, nodeId: info.node, pid: info.pid, restarts: info.restarts };
}
