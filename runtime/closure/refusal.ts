// What can't be captured, said in three lines: what it is, the way to it, and what to do instead.

import { CaptureError } from "../errors.ts";

/** The way from the captured function to a value, innermost step last. */
export interface Trail {
  readonly parent: Trail | undefined;
  readonly step: string;
  /** The variable or property the value was found in. */
  readonly variable: string;
}

export const CAPTURE_CODES = [
  "CAPTURE_NATIVE", "CAPTURE_THIS", "CAPTURE_TDZ", "CAPTURE_EVAL", "CAPTURE_PRIVATE", "CAPTURE_SHARED_MUTABLE", "CAPTURE_HANDLE",
  "CAPTURE_PROXY", "CAPTURE_PROMISE", "CAPTURE_MISSING_NAME", "CAPTURE_TOO_LARGE", "CAPTURE_NO_INSPECTOR",
] as const;
export type CaptureCode = (typeof CAPTURE_CODES)[number];

export function variableStep(parent: Trail | undefined, name: string): Trail {
  return { parent, step: name, variable: name };
}

export function memberStep(parent: Trail, key: PropertyKey): Trail {
  return { parent, step: propertyStep(key), variable: String(key) };
}

/** `.x`, `[0]`, `["a b"]` */
export function propertyStep(key: PropertyKey): string {
  if (typeof key === "string" && /^#?[A-Za-z_$][\w$]*$/.test(key)) return `.${key}`;
  return `[${typeof key === "string" && !/^\d+$/.test(key) ? JSON.stringify(key) : String(key)}]`;
}

/** "`label` can't be sent to a worker: …"; `what` completes the sentence. */
export function refusal(captureCode: CaptureCode, what: string, trail: Trail, fix: string): CaptureError {
  const steps: Trail[] = [];
  for (let at: Trail | undefined = trail; at !== undefined; at = at.parent) steps.unshift(at);
  const path = steps.map((step) => step.step);
  const text = `can't send "${path[0]}" to a worker: ${what}\ncaptured through: ${path.join(" -> ")}\nfix: ${fix}`;
  return new CaptureError(text, { code: captureCode, captureCode, variable: trail.variable, path });
}
