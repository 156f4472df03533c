// Work that takes long of a CPU, off the loop of the process that needs it: on threads, which are made on first need and end when
// there was nothing to do for a while. A folder of a hundred thousand files must not keep leases waiting.

import type { Piscina } from "piscina";
import { errorOf, type FailureData } from "../errors.ts";
import type { unpackFolder, UnpackLimits } from "./unpacking.ts";

const THREADS_MAX = 2;
const IDLE_MS = 10_000;

export interface UnpackingTask {
  readonly archive: string;
  readonly folder: string;
  readonly limits: UnpackLimits;
}
/** Errors keep their class as data only. */
export type UnpackingOutcome = { readonly bytes: number } | { readonly failure: FailureData };

/** As `unpackFolder`. */
export function unpackOffLoop(): typeof unpackFolder {
  let pool: Promise<Piscina<UnpackingTask, UnpackingOutcome>> | undefined;
  return async (archive, folder, limits) => {
    pool ??= makePool();
    const outcome = await (await pool).run({ archive, folder, limits });
    if ("failure" in outcome) throw errorOf(outcome.failure);
    return outcome.bytes;
  };
}

async function makePool(): Promise<Piscina<UnpackingTask, UnpackingOutcome>> {
  const { Piscina: Pool } = await import("piscina");
  const filename = new URL("./unpacking-thread.js", import.meta.url).href;
  return new Pool({ filename, name: "unpack", minThreads: 0, maxThreads: THREADS_MAX, idleTimeout: IDLE_MS });
}
