// Waits for what can't be taken back as long as the caller has patience; what comes later is undone.

import { GetTimeoutError } from "../runtime/errors.ts";
import type { Session, WaitOptions } from "../runtime/owner/index.ts";

/** @throws GetTimeoutError with `what` had not come; the reason of the signal. */
export async function patiently<T>(
  { waiting }: Pick<Session, "waiting">, what: string, options: WaitOptions, begin: () => Promise<T>, late: (made: T) => void,
): Promise<T> {
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  if (signal === undefined && timeoutMs === undefined) return begin();
  const timedOut = () => new GetTimeoutError(`${what} after ${timeoutMs} ms`);
  return waiting.until<T>(options, timedOut, (settle) => {
    let isOver = false;
    begin().then((made) => (isOver ? late(made) : settle(made as T | Error)), settle);
    return () => void (isOver = true);
  });
}
