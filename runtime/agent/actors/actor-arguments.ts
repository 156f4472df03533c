// Arguments of detached actors: what lies in a store is copied for them. They may start anew when who made them is long gone.

import type { ActorSpec, BoundArg, Stored } from "../../transport/index.ts";
import type { AgentObjects } from "../objects/agent-objects.ts";

export class ActorArguments {
  readonly #objects: () => Pick<AgentObjects, "replicate" | "freeLocal">;
  readonly #kept = new Map<string, readonly Stored[]>();

  constructor(objects: () => Pick<AgentObjects, "replicate" | "freeLocal">) {
    this.#objects = objects;
  }

  /** The actor as this node can start it at any time, until it is forgotten. */
  async keep(spec: ActorSpec): Promise<ActorSpec> {
    if (!spec.detached || !spec.bound.some(isStored) || this.#kept.has(spec.actor)) return spec;
    const copies: Stored[] = [];
    this.#kept.set(spec.actor, copies);
    try {
      const bound = await Promise.all(spec.bound.map((one) => this.#copy(one, copies)));
      return { ...spec, bound };
    } catch (error) {
      this.forget(spec.actor);
      throw error;
    }
  }

  forget(actor: string): void {
    for (const { slot, generation } of this.#kept.get(actor) ?? []) this.#objects().freeLocal(slot, generation);
    this.#kept.delete(actor);
  }

  async #copy(bound: BoundArg, copies: Stored[]): Promise<BoundArg> {
    if (!isStored(bound)) return bound;
    const stored = await this.#objects().replicate(bound.value?.stored as Stored);
    copies.push(stored);
    return { ...bound, value: { ...(bound.value as NonNullable<BoundArg["value"]>), stored } };
  }
}

function isStored({ value }: BoundArg): boolean {
  return value?.stored !== undefined;
}
