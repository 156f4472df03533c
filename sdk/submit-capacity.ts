// The brake for programs that submit without end.

import { GetTimeoutError, InvalidArgumentError } from "../runtime/errors.ts";
import { checkWait, whole } from "../runtime/option-checks.ts";
import { currentSession, type WaitOptions } from "../runtime/owner/index.ts";

/**
 * Waits until this process has fewer than `maxPending` tasks and calls that have not ended.
 *
 * @throws GetTimeoutError when that took longer than `timeoutMs`.
 */
export async function submitCapacity(given: WaitOptions & { readonly maxPending: number }): Promise<void> {
  const { maxPending, ...options } = checkWait("submitCapacity", given ?? {}, { maxPending: whole(1) });
  if (maxPending === undefined) throw new InvalidArgumentError("submitCapacity: expected the option maxPending");
  const { signal, timeoutMs } = options;
  signal?.throwIfAborted();
  const { unfinished, waiting } = currentSession();
  if (unfinished.count < maxPending) return;
  const timedOut = () => {
    const text = `submitCapacity: ${unfinished.count} tasks and calls had not ended after ${timeoutMs} ms`;
    return new GetTimeoutError(text);
  };
  await waiting.until<undefined>(options, timedOut, (settle) => unfinished.below(maxPending, () => settle(undefined)));
}
