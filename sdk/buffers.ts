// Bytes that are written in the object store itself, and read in parts.

import { InvalidArgumentError } from "../runtime/errors.ts";
import { checkWait, describeValue } from "../runtime/option-checks.ts";
import { currentSession, entryOf, isRef, type ObjectRef, type StoreBuffer, type WaitOptions } from "../runtime/owner/index.ts";
import { bytesOf } from "./byte-sizes.ts";
import { patiently } from "./patience.ts";

/**
 * Room for `size` bytes (a number, or "512MiB") in the object store, to be written in place: `seal()` makes an object of it
 * without a copy. Waits while the store is full. `abort()`, or `using`, gives it back unsealed.
 *
 * @throws GetTimeoutError when there was no room within `timeoutMs`.
 */
export async function createBuffer(size: number | string, options?: WaitOptions): Promise<StoreBuffer> {
  const bytes = bytesOf(size);
  if (bytes === undefined) {
    const allowed = 'a whole number of 0 or more bytes, or text such as "512MiB"';
    throw new InvalidArgumentError(`createBuffer: the size must be ${allowed}, not ${describeValue(size)}`);
  }
  const session = currentSession();
  const what = `createBuffer: the object store had no room for ${bytes} bytes`;
  const waiting = checkWait("createBuffer", options) ?? {};
  return patiently(session, what, waiting, () => session.rawBuffers.create(bytes), (buffer) => buffer.abort());
}

/**
 * `length` bytes from `offset` on of an object that is one buffer or typed array, whatever its size: a view when it lies in this
 * machine's store, else only these bytes are fetched. At most 4 GiB on Node 20.
 */
export async function getRange(
  ref: ObjectRef<ArrayBufferView | ArrayBufferLike>, offset: number, length: number, options?: WaitOptions,
): Promise<Uint8Array> {
  if (!isRef(ref)) throw new InvalidArgumentError("getRange: expected an ObjectRef");
  for (const [name, value] of [["offset", offset], ["length", length]] as const) {
    if (Number.isSafeInteger(value) && value >= 0) continue;
    throw new InvalidArgumentError(`getRange: ${name} must be a whole number of 0 or more, not ${String(value)}`);
  }
  entryOf(ref);
  return currentSession().rawBuffers.range(ref, offset, length, checkWait("getRange", options));
}
