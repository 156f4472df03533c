// Lines for machines and people: one JSON object each, on stderr, with where it comes from.

import type { Clock } from "../runtime/seams.ts";

/** `fields` go into the line as they are, errors with their stack. */
type Log = (message: string, fields?: Readonly<Record<string, unknown>>) => void;

export interface Logger {
  readonly debug: Log;
  readonly info: Log;
  readonly warn: Log;
  readonly error: Log;
}

export function loggerOf(clock: Clock, origin: Readonly<Record<string, unknown>>): Logger {
  const log = (level: string): Log => (message, fields) => {
    const time = new Date(clock.wallNow()).toISOString();
    process.stderr.write(`${JSON.stringify({ time, level, message, ...fields, ...origin }, plain)}\n`);
  };
  return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
}

/** What JSON has no word for. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  return value instanceof Error ? (value.stack ?? String(value)) : value;
}
