// The memory that the processes of one node share, where they are one process in truth: a store and claim pages of plain memory.

import type { Equipment } from "../owner/index.ts";
import {
  createLocalClaims, createLocalStore, openStore, type ClaimBook, type StoreGrant, type StoreHost,
} from "../store/index.ts";

export class NodeMemory {
  readonly store: StoreHost;
  readonly claims: ClaimBook = createLocalClaims();
  readonly #path: string;

  constructor(capacity: number) {
    const host = createLocalStore({ capacity });
    const probe = host.admit("");
    host.expel(probe.client, -1);
    this.#path = probe.path;
    // The path is counted over the whole process: in messages it would make one run of a simulation differ from the next.
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
