// The setupHook of a worker's environment: runs once, before the worker is given work.

import { readFileSync } from "node:fs";
import { decodeDefinition, type WorkerEnvironment } from "../environment/index.ts";
import type { CodeShipper } from "../closure/index.ts";

/** Why the worker can take no work; undefined when the hook has run, or there is none. */
export async function runSetupHook(environment: WorkerEnvironment, shipper: CodeShipper): Promise<string | undefined> {
  const { setupHook } = decodeDefinition(readFileSync(environment.definition));
  if (setupHook === undefined) return undefined;
  try {
    const hook = await shipper.revive(setupHook.id, Buffer.from(setupHook.code, "base64"));
    await (hook as () => unknown)();
    return undefined;
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? String(error)) : String(error);
    return `its setupHook ${setupHook.name} failed: ${text}`;
  }
}
