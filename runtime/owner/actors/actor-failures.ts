// What calls to an actor fail with that is dead, or out of reach for a while.

import { ActorDiedError, ActorUnavailableError, errorOf, failureOf } from "../../errors.ts";
import type { Failure } from "../../transport/index.ts";

const IN_FLIGHT =
  "the call was in flight and may or may not have run. Set maxTaskRetries to have such calls sent again.";
const MADE_MEANWHILE = "the call was made meanwhile and did not run. Await ready(handle) before, or set maxTaskRetries.";

interface FailedActor {
  readonly id: string;
  readonly className: string;
  /** Why it is not alive. */
  readonly failure: Failure | undefined;
}

/** It will never answer again. */
export function deathOf({ id, className, failure: cause }: FailedActor): Failure {
  if (cause !== undefined && (cause.code === "ACTOR_DIED" || isActorVerdict(cause.code))) return cause;
  const text = cause === undefined ? "its handle is no longer valid" : cause.text;
  const error = new ActorDiedError(`actor ${className} (${id}) is dead: ${text}`, { actorId: id }, cause && errorOf(cause));
  return { ...(failureOf(error) as Failure), cause };
}

/** Failures of a creation that every later call repeats as they are. */
function isActorVerdict(code: string): boolean {
  return ["NAME_TAKEN", "INFEASIBLE", "NOT_FOUND", "RUNTIME_ENV_SETUP", "HEAD_UNAVAILABLE"].includes(code);
}

/** It restarts, and the call has no retries; `wasSent`: it was in flight. */
export function unavailable({ id, className, failure }: FailedActor, wasSent: boolean): Failure {
  const why = failure === undefined ? "" : `: ${failure.text}`;
  const error = new ActorUnavailableError(
    `actor ${className} (${id}) is restarting${why}; ${wasSent ? IN_FLIGHT : MADE_MEANWHILE}`,
    { actorId: id },
    failure && errorOf(failure),
  );
  return failureOf(error) as Failure;
}
