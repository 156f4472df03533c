// Where the main files of the programs are, in the built package.

import { fileURLToPath } from "node:url";
import type { SpawnRequest } from "./seams.ts";

/** Folder of this package: what its name means to Node. */
export const PACKAGE_ROOT = fileURLToPath(new URL("../", import.meta.url)).replace(/\/dist\/$/, "/");

/** Absolute path of a program's main file: beside this one, compiled. */
export function mainOf(program: SpawnRequest["program"]): string {
  return fileURLToPath(new URL(`./${program}/main.js`, import.meta.url));
}
