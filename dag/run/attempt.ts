// One attempt of a task, where it runs: arguments are made from what they are held by, the code is called, and how it ended
// is said.

import type { RetryExceptions } from "../../sdk/index.ts";
import { DeferSignal, FailSignal, type RunSummary, type TaskContext, type Told, withContext } from "./context.ts";
import { evaluate, SkipSignal } from "./inputs.ts";
import { captureOutput, LINE_MAX, PrintedLines } from "./output.ts";
import { type Note, Telling } from "./telling.ts";
import { keepSecret, keepSecretsAround, knownSecrets, masked, maskError } from "./secrets.ts";

export interface Order {
  /** Inputs, with handles that `valueOf` knows. */
  readonly args: readonly unknown[];
  readonly run: RunSummary;
  readonly task: TaskContext["task"];
  readonly attempt: number;
  /** When the task was first started. */
  readonly since: number;
  /** It goes on after a wait. */
  readonly resumed: boolean;
  /** It was stopped while it waited: what it began elsewhere is to end. */
  readonly calledOff?: boolean | undefined;
  /** Of a branch: the keys it may give. */
  readonly keys?: readonly string[] | undefined;
}

/** `secrets`: what was seen on the way, for whoever shows what is told. */
export type Report = { readonly told: readonly Told[]; readonly secrets?: readonly string[] } & (
  | { readonly outcome: "success"; readonly chosen?: readonly string[]; readonly passed?: boolean }
  | { readonly outcome: "skip"; readonly reason: string }
  | { readonly outcome: "defer"; readonly until: number }
  | { readonly outcome: "error"; readonly error: unknown; readonly final: boolean }
);

export interface Place {
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly valueOf: (handle: unknown) => unknown;
  /** Takes what is told while it runs. */
  readonly note: (note: Note) => void;
}

type Code = (...args: never[]) => unknown;

/** Characters of the name of a metric. */
const NAME_MAX = 1000;

export async function attempt(
  fn: Code, kind: string, retryOn: RetryExceptions | undefined, order: Order, place: Place,
): Promise<readonly [Report, unknown]> {
  keepSecretsAround();
  captureOutput();
  const [report, value] = await attemptOnce(fn, kind, retryOn, order, place);
  const secrets = knownSecrets();
  return [secrets.length === 0 ? report : { ...report, secrets }, value];
}

/** What was told, without the secrets that any task of this process's runs has seen. */
export function withoutSecrets({ secrets = [], ...report }: Report): Report {
  for (const secret of secrets) keepSecret(secret);
  const told = maskAll(report.told);
  if (report.outcome === "skip") return { ...report, told, reason: masked(report.reason) };
  return report.outcome === "error" ? { ...report, told, error: maskError(report.error) } : { ...report, told };
}

export function maskAll(told: readonly Told[]): Told[] {
  return told.map(maskTold);
}

function maskTold(one: Told): Told {
  return one.type === "log" ? { ...one, value: masked(one.value) } : { ...one, name: masked(one.name).slice(0, NAME_MAX) };
}

async function attemptOnce(
  fn: Code, kind: string, retryOn: RetryExceptions | undefined, order: Order, { signal, now, valueOf, note }: Place,
): Promise<readonly [Report, unknown]> {
  const telling = new Telling(order.attempt, note);
  const { told } = telling;
  const tell = (one: Told): void => telling.add(cut(maskTold(one)));
  const printed = new PrintedLines((name, value) => tell({ type: "log", name, value }));
  try {
    const { run, task, attempt, since, resumed, calledOff } = order;
    const context = { run, task, attempt, since, resumed, calledOff, signal, now, tell };
    // Mapped arguments are made by the user's code too.
    const value = await withContext(context, printed, async () => (
      fn(...((await Promise.all(order.args.map((arg) => evaluate(arg, valueOf)))) as never[]))
    )).finally(() => {
      printed.end();
      telling.end();
    });
    if (kind === "branch") {
      const chosen = keysOf(value, order);
      return [{ outcome: "success", chosen, told }, chosen];
    }
    if (kind === "shortCircuit") return [{ outcome: "success", passed: Boolean(value), told }, Boolean(value)];
    return [{ outcome: "success", told }, value];
  } catch (error) {
    return [reportOf(error, retryOn, told), undefined];
  }
}

/** A text of any length would not go into a journal. */
function cut(one: Told): Told {
  if (one.type !== "log" || one.value.length <= LINE_MAX) return one;
  return { ...one, value: `${one.value.slice(0, LINE_MAX)} … (${one.value.length} characters)` };
}

function keysOf(value: unknown, { keys = [], task }: Order): string[] {
  if (value === undefined || value === null) return [];
  const chosen = [value].flat() as unknown[];
  const wrong = chosen.find((key) => !keys.includes(key as string));
  if (wrong !== undefined)
    throw new FailSignal(`branch ${task.id} gave ${JSON.stringify(wrong)}; its ways are ${keys.join(", ")}`);
  return chosen as string[];
}

function reportOf(error: unknown, retryOn: RetryExceptions | undefined, told: readonly Told[]): Report {
  if (error instanceof SkipSignal) return { outcome: "skip", reason: masked(error.reason), told };
  if (error instanceof DeferSignal) return { outcome: "defer", until: error.until, told };
  if (error instanceof FailSignal) return { outcome: "error", error: new Error(masked(error.reason)), final: true, told };
  return { outcome: "error", error: maskError(error), final: !retriable(error, retryOn), told };
}

export function retriable(error: unknown, retryOn: RetryExceptions | undefined): boolean {
  if (retryOn === undefined || typeof retryOn === "boolean") return retryOn ?? true;
  if (Array.isArray(retryOn)) return retryOn.some((type) => error instanceof (type as never));
  try {
    return (retryOn as (error: unknown) => boolean)(error);
  } catch {
    // A predicate that fails itself decides nothing.
    return true;
  }
}
