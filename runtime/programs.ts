// Where the main files of the programs are, in the built package.

import { fileURLToPath } from "node:url";
import type { SpawnRequest } from "./seams.ts";

/** Absolute path of a program's main file: beside this one, compiled. */
export function mainOf(program: SpawnRequest["program"]): string {
  return fileURLToPath(new URL(`./${program}/main.js`, import.meta.url));
}
