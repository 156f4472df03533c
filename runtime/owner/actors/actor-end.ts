// Ends an actor that nobody has a handle to any more. It is asked for until the cluster has heard it: an actor that is not ended
// lives as long as its job.

import { NotFoundError } from "../../errors.ts";
import type { Session } from "../session.ts";

const AGAIN_MS = 1000;

export function endActor(session: Session, actor: string): void {
  const body = { actor, noRestart: true, graceful: true, reason: "its last handle is gone" };
  session.ask("killActor", body, "done").catch((error: unknown) => {
    // It was never there; or the agent is gone, and with it the session and its actors.
    if (session.ended || error instanceof NotFoundError) return;
    session.parts.seams.clock.after(AGAIN_MS, () => endActor(session, actor));
  });
}
