// Moments as users give them.

import { InvalidArgumentError } from "../../sdk/index.ts";

/** @throws InvalidArgumentError for what is no moment; `what` names it. */
export function dateOf(what: string, given: Date | string): Date {
  const date = new Date(given);
  if (!Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError(`${what} must be a Date or an ISO text, not ${String(given)}`);
}
