// What can't be captured, said in three lines: what it is, the way to it, and what to do instead.

import { CaptureError } from "../errors.ts";

/** The way from the captured function to a value, innermost step last. */
export interface Trail {
  readonly parent: Trail | undefined;
  readonly step: string;
  /** The variable or property the value was found in. */
  readonly variable: string;
}

export type CaptureCode =
  | "CAPTURE_NATIVE" | "CAPTURE_THIS" | "CAPTURE_TDZ" | "CAPTURE_EVAL" | "CAPTURE_PRIVATE" | "CAPTURE_SHARED_MUTABLE"
  | "CAPTURE_HANDLE" | "CAPTURE_PROXY" | "CAPTURE_PROMISE" | "CAPTURE_MISSING_NAME" | "CAPTURE_TOO_LARGE"
  | "CAPTURE_NO_INSPECTOR";

export function variableStep(parent: Trail | undefined, name: string): Trail {
  return { parent, step: name, variable: name };
}

export function memberStep(parent: Trail, key: PropertyKey): Trail {
  const name = String(key);
  const isPlain = typeof key === "string" && /^[A-Za-z_$][\w$]*$/.test(key);
  const inBrackets = typeof key === "string" && !/^\d+$/.test(key) ? JSON.stringify(key) : name;
  return { parent, step: isPlain ? `.${name}` : `[${inBrackets}]`, variable: name };
}

/** "`label` can't be sent to a worker: …"; `what` completes the sentence. */
export function refusal(captureCode: CaptureCode, what: string, trail: Trail, fix: string): CaptureError {
  const steps: Trail[] = [];
  for (let at: Trail | undefined = trail; at !== undefined; at = at.parent) steps.unshift(at);
  const path = steps.map((step) => step.step);
  const text = `can't send "${path[0]}" to a worker: ${what}\ncaptured through: ${path.join(" -> ")}\nfix: ${fix}`;
  return new CaptureError(text, { captureCode, variable: trail.variable, path });
}
