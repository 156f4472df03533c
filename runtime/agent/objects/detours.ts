// Ways around a broken link: an object whose node this one can't reach, and others can, is copied to one of those first, and from
// there as if it were its own. So the copy is freed with it, and others here and elsewhere join in.

import { Recent } from "../../core/index.ts";
import type { ObjectOwner } from "../../store/index.ts";
import type { Caller, Stored } from "../../transport/index.ts";
import type { Peers } from "../peers.ts";

/** The other node may have to wait its turn, and the object may be large. */
const COPY_TIMEOUT_MS = 120_000;
/** Each that can't be reached either takes a while to say so. */
const NODES_TRIED = 3;
const KEPT = 1000;

export interface DetoursParts {
  readonly caller: Caller;
  readonly peers: Pick<Peers, "connect" | "likeliest">;
}

export class Detours {
  readonly #parts: DetoursParts;
  /** By the place of what can't be reached. */
  readonly #known = new Recent<string, Stored>(KEPT);

  /** Those that this node looks for a way to. */
  readonly #sought = new Set<string>();

  constructor(parts: DetoursParts) {
    this.#parts = parts;
  }

  /** Who asks for it now would wait for itself: whom this node asks may have come to this one. */
  isSought(key: string): boolean {
    return this.#sought.has(key);
  }

  known(key: string): Stored | undefined {
    return this.#known.peek(key);
  }

  forget(key: string): void {
    this.#known.delete(key);
  }

  /** Where a copy of it lies; undefined when nobody that this node reaches can get one. */
  async around(key: string, source: Stored, { process: owner, node: ownerNode }: ObjectOwner): Promise<Stored | undefined> {
    const { caller, peers } = this.#parts;
    const question = { source, owner, ownerNode, kind: "argument", direct: true };
    this.#sought.add(key);
    try {
      for (const node of peers.likeliest([]).filter((one) => one !== source.node).slice(0, NODES_TRIED)) {
        try {
          const options = { timeoutMs: COPY_TIMEOUT_MS };
          const copy = await caller.call(await peers.connect(node), "fetchObject", question, "stored", options);
          this.#known.set(key, copy);
          return copy;
        } catch {
          // It can't get there either, or has ended.
        }
      }
      return undefined;
    } finally {
      this.#sought.delete(key);
    }
  }
}
