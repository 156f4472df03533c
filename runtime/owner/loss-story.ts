// Why an object is lost for good, told to people.

import type { Making } from "../core/index.ts";
import { ObjectLostError, ReconstructionFailedError } from "../errors.ts";
import { type ObjectEntry, objectIdOf } from "./object-ref.ts";

type Lost = Extract<Making<unknown>, { kind: "lost" }>;

const WHY: Readonly<Record<Lost["why"], string>> = {
  put: "no task made it (it was put, or came as an argument), so nothing can make it again",
  retries: "what made it may not be run again: it has no retries (maxRetries of a task, maxTaskRetries of a call)",
  exhausted: "what made it was run again as often as its retries allow",
  evicted: "what made it is no longer remembered: too much is, for objects that are held",
  failed: "what made it was run again, and failed",
};

/** `reason`: of the loss itself. */
export function lossOf(entry: ObjectEntry, { object, why }: Lost, reason: string): ObjectLostError {
  const objectId = entry.id;
  const text = `object ${objectId} is lost (${reason}; no other node has a copy)`;
  if (object !== entry.number) {
    const needed = objectIdOf(entry.owner, object);
    return new ReconstructionFailedError(
      `${text}, and can't be made again: that needs object ${needed}, which is gone too, and ${WHY[why]}`, { objectId },
    );
  }
  const error = why === "put" || why === "retries" ? ObjectLostError : ReconstructionFailedError;
  return new error(`${text}, and can't be made again: ${WHY[why]}`, { objectId });
}

/** Of one that agents kept. It is not made again: whoever said how long it lives decides what follows. */
export function keptLossOf({ id: objectId }: ObjectEntry, reason: string): ObjectLostError {
  const text = `object ${objectId} is lost (${reason}; no other node keeps a copy): detach it with replicas to have more of them`;
  return new ObjectLostError(text, { objectId });
}
