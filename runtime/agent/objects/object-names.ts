// Names of kept objects: the head has them, and knows of each only which object it is.

import { NameTakenError } from "../../errors.ts";
import type { Clock } from "../../seams.ts";
import type { HeldRef } from "../../transport/index.ts";
import type { HeadLink } from "../head/head-link.ts";

/** Who has named an object keeps it well within this time. */
const LOOK_AGAIN_MS = 1000;

export interface ObjectNamesParts {
  readonly clock: Clock;
  readonly head: () => Pick<HeadLink, "ask">;
  /** Some node has it. */
  readonly isKept: (object: HeldRef) => Promise<boolean>;
}

export class ObjectNames {
  readonly #parts: ObjectNamesParts;

  constructor(parts: ObjectNamesParts) {
    this.#parts = parts;
  }

  /** A name whose object went with its node, or with all nodes, is free again. */
  async claim(name: string, namespace: string, object: HeldRef): Promise<void> {
    const claim = () => this.#parts.head().ask("nameObject", { name, namespace, object }, "done");
    try {
      await claim();
    } catch (error) {
      if (!(error instanceof NameTakenError)) throw error;
      const held = await this.#parts.head().ask("findNamed", { name, namespace }, "held");
      if (!(await this.#isNowhere(held))) throw error;
      await this.free([held]);
      await claim();
    }
  }

  /** All names of these. */
  async free(objects: readonly HeldRef[]): Promise<void> {
    await this.#parts.head().ask("unname", { objects: [...objects] }, "done");
  }

  /** Looked for twice: one that was just named may be on its way to be kept. */
  async #isNowhere(object: HeldRef): Promise<boolean> {
    for (let looks = 0; looks < 2; looks += 1) {
      if (looks > 0) await new Promise<void>((resolve) => void this.#parts.clock.after(LOOK_AGAIN_MS, resolve));
      if (await this.#parts.isKept(object)) return false;
    }
    return true;
  }
}
