// What simulated processes work with: a store and claim pages a node in plain memory, code by reference, no garbage collector.

import { createHash } from "node:crypto";
import type { Equipment } from "../../../runtime/owner/index.ts";
import { createCodec } from "../../../runtime/serialize/index.ts";
import {
  createLocalClaims,
  createLocalStore,
  openStore,
  type ClaimBook,
  type StoreGrant,
  type StoreHost,
} from "../../../runtime/store/index.ts";

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

  find(id: string): Function | undefined {
    return this.#byId.get(id);
  }
}

/** The memory that processes of one node share. */
export class NodeMemory {
  readonly store: StoreHost;
  readonly claims: ClaimBook = createLocalClaims();
  readonly #path: string;

  constructor(capacity: number) {
    const host = createLocalStore({ capacity });
    const probe = host.admit("");
    host.expel(probe.client, -1);
    this.#path = probe.path;
    // The path is counted over the whole process: in messages it would make one run differ from the next.
    this.store = new Proxy(host, {
      get: (target, name) => {
        if (name === "admit") return (owner: string): StoreGrant => ({ ...target.admit(owner), path: "local:node" });
        const member = Reflect.get(target, name, target) as unknown;
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
  }

  readonly open: Equipment["openStore"] = (grant, broker) => openStore({ ...grant, path: this.#path }, broker);
}

export function equipmentOf(memory: NodeMemory, code: SharedCode): Equipment {
  return {
    openStore: memory.open,
    openClaims: () => memory.claims,
    createCodec,
    createShipper: () => ({
      capture: (fn) => {
        const id = code.idOf(fn);
        const kind = /^class\b/.test(Function.prototype.toString.call(fn)) ? "class" : "function";
        return { id, bytes: Buffer.from(id), needs: [], name: fn.name || "anonymous", label: fn.name, kind };
      },
      revive: async (id) => code.find(id) as Function,
      known: (id) => code.find(id),
      changed: () => undefined,
      warmUp: () => {},
    }),
    // When the collector runs is not for a seed to say: handles live until they are released.
    liveEntries: () => undefined,
    garbage: undefined,
    finalizers: () => ({ register: () => {}, unregister: () => false }),
  };
}
