// Breaks things inside the agents of a test cluster: a word to each over its own socket, which no cut reaches.

import { systemTransport, Caller, type Disturb, type Draft, type Identity } from "../../runtime/transport/index.ts";
import type { Clock } from "../../runtime/seams.ts";

/** More than a head takes to start. */
const WITHIN_MS = 30_000;

export async function disturb(clock: Clock, address: string, identity: Identity, body: Draft<Disturb>): Promise<void> {
  const caller = new Caller(clock);
  const handler = {
    messages: { answer: caller.answered.bind(caller), goodbye: () => {} },
    onClose: caller.closed.bind(caller),
  };
  const alive = clock.after(2 * WITHIN_MS, () => {}, true);
  try {
    const channel = await systemTransport({ clock }).dial(address, identity, handler, { timeoutMs: WITHIN_MS });
    await caller.call(channel, "disturb", body, "done", { timeoutMs: WITHIN_MS }).finally(() => channel.close("it is done"));
  } finally {
    alive.cancel();
  }
}
