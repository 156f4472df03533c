// What simulated processes work with: the memory of their node, code by reference, no garbage collector.

import { createHash } from "node:crypto";
import type { CapturedCode } from "../../../runtime/closure/index.ts";
import type { NodeMemory } from "../../../runtime/inprocess/index.ts";
import type { Equipment } from "../../../runtime/owner/index.ts";
import { createCodec } from "../../../runtime/serialize/index.ts";

/** Functions of all processes: captured in one, found in another. */
export class SharedCode {
  readonly #byId = new Map<string, Function>();
  readonly #ids = new Map<Function, string>();

  idOf(fn: Function): string {
    let id = this.#ids.get(fn);
    if (id === undefined) {
      id = createHash("md5").update(`${this.#ids.size}`).digest("hex");
      this.#ids.set(fn, id);
      this.#byId.set(id, fn);
    }
    return id;
  }

  captured(fn: Function): CapturedCode {
    const id = this.idOf(fn);
    const kind = /^class\b/.test(Function.prototype.toString.call(fn)) ? "class" : "function";
    return { id, bytes: Buffer.from(id), needs: [], name: fn.name || "anonymous", label: fn.name, kind };
  }

  find(id: string): Function | undefined {
    return this.#byId.get(id);
  }
}

export function equipmentOf(memory: NodeMemory, code: SharedCode): Equipment {
  return {
    openStore: memory.open,
    openClaims: () => memory.claims,
    createCodec,
    createShipper: () => ({
      capture: (fn) => code.captured(fn),
      revive: async (id) => code.find(id) as Function,
      known: (id) => code.find(id),
      changed: () => undefined,
      captureOnce: (fn) => code.captured(fn),
      warmUp: () => {},
    }),
    // When the collector runs is not for a seed to say: handles live until they are released.
    liveEntries: () => undefined,
    garbage: undefined,
    oneProcess: true,
    finalizers: () => ({ register: () => {}, unregister: () => false }),
  };
}
