// `troupe inspect-closure FILE#NAME`: what a function or class takes along when it goes to a worker.

import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Command } from "commander";
import {
  type CaptureReport, contentHash, createShipper, type ReportEntry, reportOf, type TravelHook,
} from "../runtime/closure/index.ts";
import { CaptureError, InvalidArgumentError } from "../runtime/errors.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";
import { FoundWrong } from "./failure.ts";
import { print, printJson, shownBytes } from "./table.ts";

/** Data within data is listed from here on; code always is. */
const SHOWN_BYTES = 1024;
const CODE = new Set(["function", "class", "bound function", "import", "ObjectRef", "actor handle"]);

export function declareInspectClosure(command: Command): void {
  command
    .argument("<FILE#NAME>", "a module, which is loaded and run, and the name of a function, class or remote() of its exports")
    .option("--json", "print JSON: everything, also the data within data")
    .addHelpText("after", `
FILE is looked at as if it were the program itself: what other files of a program export, workers import. Values are not shown.
For TypeScript that Node.js can't run by itself, set NODE_OPTIONS="--import tsx". The exit status is 1 when the function can't
travel; what stands in the way is told with the path to it.

Example:
  $ troupe inspect-closure train.mjs#step
  $ troupe inspect-closure jobs/train.mjs#step --json`)
    .action(inspectClosure);
}

async function inspectClosure(target: string, { json }: { readonly json?: boolean }): Promise<void> {
  // What the file started, a cluster or a timer, would keep this process: the status is set when this runs.
  const end = (): void => void setImmediate(() => process.exit());
  try {
    const fn = await loaded(target);
    try {
      // Nothing is sent, so nothing needs a cluster.
      const hook: TravelHook = { encode: () => new Uint8Array(), decode: () => ({}), identity: () => new Uint8Array() };
      const captured = createShipper({ ref: hook, handle: hook, data: { keep: contentHash, load: nothing } }).capture(fn);
      const report = reportOf(captured);
      if (json) printJson(report);
      else print(textOf(report));
    } catch (error) {
      if (!(error instanceof CaptureError) || !json) throw error;
      const { captureCode, variable, path, message } = error;
      printJson({ refused: { captureCode, variable, path, message } });
      throw new FoundWrong();
    }
  } finally {
    end();
  }
}

function nothing(): Promise<ArrayBuffer> {
  return Promise.resolve(new ArrayBuffer(0));
}

async function loaded(target: string): Promise<Function> {
  const at = target.lastIndexOf("#");
  if (at < 1 || at === target.length - 1) {
    throw new InvalidArgumentError(`"${target}" is not FILE#NAME, such as train.mjs#step`);
  }
  const [file, name] = [resolve(target.slice(0, at)), target.slice(at + 1)];
  if (!existsSync(file)) throw new InvalidArgumentError(`there is no file ${file}`);
  process.argv = [process.argv[0], file];
  const exported = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const value = functionOf(exported[name] ?? (exported.default as Record<string, unknown> | undefined)?.[name]);
  if (value !== undefined) return value;
  const others = Object.keys(exported).filter((key) => functionOf(exported[key]) !== undefined);
  const known = others.length === 0 ? "it exports none" : `it exports ${others.join(", ")}`;
  throw new InvalidArgumentError(`${file} exports no function "${name}": ${known}. Export what you want to look at`);
}

/** A function or class, or what remote() was given. */
function functionOf(value: unknown): Function | undefined {
  if (typeof value === "function") return value;
  const { [REDUCE_BRAND]: reduce } = (value ?? {}) as { [REDUCE_BRAND]?: () => readonly [unknown, readonly unknown[]] };
  const [given] = reduce?.call(value)[1] ?? [];
  return typeof given === "function" ? given : undefined;
}

function textOf({ label, kind, bytes, entries }: CaptureReport): string {
  const rows = entries.filter(isShown).map((entry): string[] => (
    ["  ".repeat(entry.path.length) + (entry.path.at(-1) as string), entry.kind, shownBytes(entry.bytes), shownPlace(entry)]
  ));
  if (rows.length === 0) rows.push(["  captures nothing"]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) => row.map((text, column) => text.padEnd(widths[column] ?? 0)).join("  ").trimEnd());
  return [`${label}: ${kind}, ${shownBytes(bytes)}`, ...lines].join("\n");
}

function isShown({ path, kind, bytes }: ReportEntry): boolean {
  const isVariable = !/^[.[]/.test(path.at(-1) as string);
  return isVariable || CODE.has(kind) || bytes >= SHOWN_BYTES;
}

function shownPlace({ place }: ReportEntry): string {
  if (place === undefined) return "";
  return place.startsWith("/") ? relative(process.cwd(), place) : place;
}
