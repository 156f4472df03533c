// The token of the cluster this process is in: who has it may do everything here.

import { currentSession } from "../runtime/owner/index.ts";
import { sameToken } from "../runtime/transport/index.ts";

/** Takes as long whichever way they differ. */
export function isClusterToken(given: string): boolean {
  return sameToken(given, currentSession().parts.identity.token);
}
