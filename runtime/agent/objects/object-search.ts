// Looks through the cluster for objects that their owner, or a reader, did not find where they were made.

import { DeadlineError } from "../../errors.ts";
import type { AnswerBody, Caller, Draft, FindObjects, Stored } from "../../transport/index.ts";
import type { AgentObjects } from "./agent-objects.ts";
import type { Peers } from "../peers.ts";

/** Who does not answer is asked again, and says the same: a copy given away in an answer that nobody heard would be nobody's. */
const ANSWER_TIMEOUT_MS = 5000;
/** Longer than a node that is silent stays in the view. */
const TRIES = 4;

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
    const others = peers.nodes().filter(({ id }) => id !== nodeId && this.#isAlive(id));
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
    const body = { ...wanted, here: true };
    for (let tries = 0; tries < TRIES && this.#isAlive(node); tries += 1) {
      try {
        const channel = await peers.connect(node);
        return (await caller.call(channel, "findObjects", body, "places", { timeoutMs: ANSWER_TIMEOUT_MS })).places;
      } catch (error) {
        // Out of reach it is dead or dying, and what it has with it.
        if (!(error instanceof DeadlineError)) break;
      }
    }
    return [];
  }

  #isAlive(node: string): boolean {
    return this.#parts.peers.nodes().some(({ id, state }) => id === node && state === "ALIVE");
  }
}
