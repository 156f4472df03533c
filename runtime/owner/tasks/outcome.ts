// What becomes of the results of tasks and calls, the same for both.

import type { StreamPosition } from "../../core/index.ts";
import type { TaskDone } from "../../transport/index.ts";
import type { Link } from "../links.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { TaskHistory } from "./task-history.ts";
import type { WireValue } from "../values/wire-value.ts";

export type RetryOn = ((error: unknown) => boolean) | undefined;

/** A task or call that is over. */
export interface Ended {
  readonly number: number;
  /** Its arguments. */
  readonly kept: readonly ObjectEntry[];
}

export interface OutcomeParts {
  readonly history: TaskHistory;
  /** Gives an entry its value, or its error, once. */
  readonly settle: (entry: ObjectEntry, value: WireValue) => void;
  /** Frees what a reply carries that nobody wants. */
  readonly discard: (values: readonly WireValue[]) => void;
  /** One task or call fewer has not ended. */
  readonly ended: () => void;
  /** Where the stream of a task or call stands, by its number. */
  readonly position: (number: number) => StreamPosition | undefined;
  /** A promise when the class of the error has to be brought here first. Never rejects. */
  readonly retriable: (retryOn: RetryOn, error: WireValue) => boolean | Promise<boolean>;
  /** Counts refs that the executor of an attempt still holds, before our own are dropped: whatever comes of the attempt. */
  readonly stillHeld: (done: TaskDone, link: Link) => void;
  /** Its arguments are no longer needed, and no code of it runs. */
  readonly released: (ended: Ended) => void;
}
