// The brake for programs that submit without end.

import { GetTimeoutError, InvalidArgumentError } from "../runtime/errors.ts";
import { currentSession, type WaitOptions } from "../runtime/owner/index.ts";
import { checkWait } from "./objects.ts";

/**
 * Waits until this process has fewer than `maxPending` tasks and calls that have not ended.
 *
 * @throws GetTimeoutError when that took longer than `timeoutMs`.
 */
export async function submitCapacity({ maxPending, ...options }: WaitOptions & { readonly maxPending: number }): Promise<void> {
  if (!Number.isSafeInteger(maxPending) || maxPending < 1) {
    throw new InvalidArgumentError(`submitCapacity: maxPending must be a whole number from 1, not ${String(maxPending)}`);
  }
  const { signal, timeoutMs } = checkWait("submitCapacity", options);
  signal?.throwIfAborted();
  const { unfinished, waiting } = currentSession();
  if (unfinished.count < maxPending) return;
  const timedOut = () => {
    const text = `submitCapacity: ${unfinished.count} tasks and calls had not ended after ${timeoutMs} ms`;
    return new GetTimeoutError(text);
  };
  await waiting.until<undefined>(options, timedOut, (settle) => unfinished.below(maxPending, () => settle(undefined)));
}
