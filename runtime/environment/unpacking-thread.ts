// What the threads of off-loop.ts run.

import { failureOf } from "../errors.ts";
import type { UnpackingOutcome, UnpackingTask } from "./off-loop.ts";
import { unpackFolder } from "./unpacking.ts";

export async function unpack({ archive, folder, limits }: UnpackingTask): Promise<UnpackingOutcome> {
  try {
    return { bytes: await unpackFolder(archive, folder, limits) };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}
