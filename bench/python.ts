// The Python that has Ray: given by TROUPE_BENCH_RAY_PYTHON, or in bench/.venv, which is made on first use.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What it is compared with: pinned, so that figures of two days can be put side by side. */
const PACKAGES = ["ray==2.58.1", "numpy"];
const FOLDER = fileURLToPath(new URL("../../bench/.venv", import.meta.url));

/** @throws Error when there is neither Python nor a way to install Ray. */
export function rayPython(): string {
  const given = process.env.TROUPE_BENCH_RAY_PYTHON;
  if (given !== undefined && given !== "") return given;
  const python = `${FOLDER}/bin/python`;
  if (!hasRay(python)) {
    console.error(`installing ${PACKAGES.join(", ")} into bench/.venv …`);
    if (!existsSync(python)) step("python3", ["-m", "venv", FOLDER]);
    step(python, ["-m", "pip", "install", "-qq", ...PACKAGES]);
  }
  return python;
}

function hasRay(python: string): boolean {
  return existsSync(python) && spawnSync(python, ["-c", "import ray, numpy"], { stdio: "ignore" }).status === 0;
}

function step(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
  if (status === 0) return;
  throw new Error(`${program} ${args.join(" ")} failed; set TROUPE_BENCH_RAY_PYTHON to a Python with Ray`, { cause: error });
}
