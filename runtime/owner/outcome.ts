// What becomes of the results of tasks and calls, the same for both.

import type { ObjectEntry } from "./object-ref.ts";
import type { TaskHistory } from "./task-history.ts";
import type { WireValue } from "./wire-value.ts";

export type RetryOn = ((error: unknown) => boolean) | undefined;

export interface OutcomeParts {
  readonly history: TaskHistory;
  /** Gives an entry its value, or its error, once. */
  readonly settle: (entry: ObjectEntry, value: WireValue) => void;
  /** Frees what a reply carries that nobody wants. */
  readonly discard: (values: readonly WireValue[]) => void;
  /** A promise when the class of the error has to be brought here first. Never rejects. */
  readonly retriable: (retryOn: RetryOn, error: WireValue) => boolean | Promise<boolean>;
}
