// The init option workerEntry: a module of the user's that each worker of the job runs before anything else.

import { existsSync, realpathSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { InvalidArgumentError } from "../runtime/errors.ts";
import type { Check } from "../runtime/option-checks.ts";

export const isEntry: Check = (given) => {
  const isPath = typeof given === "string" && given !== "" && !/^(?!file:)[a-z][a-z+.-]+:/i.test(given);
  return isPath || (given instanceof URL && given.protocol === "file:") ? undefined : "the path or file: URL of a module";
};

/**
 * Its URL, by its real path: what the folder that goes along is called by.
 *
 * @throws InvalidArgumentError when this machine has no such file and its workers are on this machine.
 */
export function entryUrl(given: string | URL, isHere: boolean): string {
  const path = given instanceof URL || given.startsWith("file:") ? fileURLToPath(given) : resolve(given);
  if (existsSync(path)) return pathToFileURL(realpathSync(path)).href;
  if (!isHere) return pathToFileURL(path).href;
  throw new InvalidArgumentError(`init option workerEntry must be a module that is there: there is no file ${path}`);
}
