// Why an object is lost for good, told to people.

import type { Making } from "../../core/index.ts";
import { ObjectLostError, ReconstructionFailedError } from "../../errors.ts";
import { type ObjectEntry, objectIdOf } from "../objects/object-ref.ts";

type Lost = Extract<Making<unknown>, { kind: "lost" }>;

const WHY: Readonly<Record<Lost["why"], string>> = {
  put: "no task made it (it was put, or came as an argument), so nothing can make it again",
  retries: "what made it may not be run again: it has no retries (maxRetries of a task, maxTaskRetries of a call)",
  exhausted: "what made it was run again as often as its retries allow",
  evicted: "what made it is no longer remembered: too much is, for objects that are held",
  failed: "what made it was run again, and failed",
};

/** `reason`: of the loss itself. `isKept`: agents kept it, for a lifetime. */
export function lossOf(entry: ObjectEntry, { object, why }: Lost, reason: string, isKept: boolean): ObjectLostError {
  const objectId = entry.id;
  const text = `object ${objectId} is lost (${reason}; no other node has a copy)`;
  const remedy = isKept ? "; detach it with replicas to have more copies" : "";
  if (object !== entry.number) {
    const needed = objectIdOf(entry.owner, object);
    return new ReconstructionFailedError(
      `${text}, and can't be made again: that needs object ${needed}, which is gone too, and ${WHY[why]}${remedy}`, { objectId },
    );
  }
  const error = why === "put" || why === "retries" ? ObjectLostError : ReconstructionFailedError;
  return new error(`${text}, and can't be made again: ${WHY[why]}${remedy}`, { objectId });
}
