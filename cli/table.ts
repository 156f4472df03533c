// Rows for people: aligned columns, the widest one last.

import type { Row } from "./cluster-link.ts";

export function table(columns: readonly string[], rows: readonly Row[]): string {
  const texts = rows.map((row) => columns.map((column) => shown(row[column])));
  const widths = columns.map((column, at) => Math.max(column.length, ...texts.map((text) => text[at].length)));
  const line = (cells: readonly string[]) => cells.map((text, at) => text.padEnd(widths[at])).join("  ").trimEnd();
  return [columns.map((column) => column.toUpperCase()), ...texts].map(line).join("\n");
}

export function shown(value: unknown): string {
  if (value === undefined || value === null || value === "") return "-";
  if (typeof value !== "object") return String(value).replace(/[\x00-\x1f\x7f-\x9f]/g, "?");
  const parts = Object.entries(value).map(([name, part]: [string, unknown]) =>
    Array.isArray(value) ? shownPart(part) : `${name}=${shownPart(part)}`,
  );
  return parts.length === 0 ? "-" : shown(parts.join(","));
}

function shownPart(part: unknown): string {
  if (part === "") return "";
  return typeof part === "object" && part !== null ? `{${shown(part)}}` : shown(part);
}

/** Bytes for people. */
export function shownBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 2 ** (10 * at)).toFixed(1))} ${units[at]}`;
}

const answer = process.stdout.write.bind(process.stdout);

export function print(text: string): void {
  answer(`${text}\n`);
}

/** From now on stdout has what the command prints and nothing else; what users' code prints there is on stderr. */
export function othersOnStderr(): void {
  process.stdout.write = ((...written: Parameters<typeof answer>) => process.stderr.write(...written)) as typeof answer;
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, undefined, 2));
}
