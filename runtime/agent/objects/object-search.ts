// Looks through the cluster for objects that their owner, or a reader, did not find where they were made.

import type { AnswerBody, Caller, Draft, FindObjects, Stored } from "../../transport/index.ts";
import type { AgentObjects } from "./agent-objects.ts";
import type { Peers } from "../peers.ts";

/** A node that does not answer within this has nothing to find. */
const ANSWER_TIMEOUT_MS = 5000;

export interface ObjectSearchParts {
  readonly nodeId: string;
  readonly caller: Caller;
  readonly objects: AgentObjects;
  readonly peers: Pick<Peers, "connect" | "nodes">;
}

export class ObjectSearch {
  readonly #parts: ObjectSearchParts;

  constructor(parts: ObjectSearchParts) {
    this.#parts = parts;
  }

  async find(wanted: FindObjects): Promise<AnswerBody> {
    const { nodeId, objects, peers } = this.#parts;
    if (wanted.here) return { places: { places: objects.findHere(wanted) } };
    const others = peers.nodes().filter(({ id, state }) => id !== nodeId && state === "ALIVE");
    const answers = await Promise.all([objects.findHere(wanted), ...others.map(({ id }) => this.#ask(id, wanted))]);
    const places = wanted.places.map((_place, index) => {
      const [first, ...rest] = answers.map((answer) => answer[index]).filter((place) => place !== undefined && place.node !== "");
      for (const { node, slot, generation } of rest) {
        objects.free({ node: node ?? "", slots: [slot ?? 0], generations: [generation ?? 0] }, false);
      }
      return first ?? { node: "" };
    });
    return { places: { places } };
  }

  async #ask(node: string, wanted: FindObjects): Promise<readonly Draft<Stored>[]> {
    const { caller, peers } = this.#parts;
    try {
      const channel = await peers.connect(node);
      const body = { ...wanted, here: true };
      return (await caller.call(channel, "findObjects", body, "places", { timeoutMs: ANSWER_TIMEOUT_MS })).places;
    } catch {
      // It is dead or dying, and what it has with it.
      return [];
    }
  }
}
