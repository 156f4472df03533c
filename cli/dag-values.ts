// What people write after the options of `troupe dag`, as values.

import { InvalidArgumentError as WrongValue } from "commander";

export function paramsOf(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new WrongValue("It must be a JSON object.");
}

export function timeOf(text: string): string {
  if (!Number.isNaN(Date.parse(text))) return text;
  throw new WrongValue("It must be a time such as 2026-01-31 or 2026-01-31T12:00:00Z.");
}

export function countFrom(least: number): (text: string) => number {
  return (text) => {
    const count = Number(text);
    if (/^\d+$/.test(text) && Number.isSafeInteger(count) && count >= least) return count;
    throw new WrongValue(`It must be a whole number of ${least} or more.`);
  };
}
