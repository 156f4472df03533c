// Questions to the agent to keep objects for a scope: what comes while one is being answered goes with the next.
//
// A scope has one question open at a time, so however many objects are made for it at once, they cost a message a thousand. What
// one question is refused for may be true of one object only: then each is asked for by itself. A repeat changes nothing.

import type { Draft, KeptObject } from "../../transport/index.ts";

/** Objects that one question is about, and bytes of the small values in it. */
const ASKED_MAX = 1000;
const ASKED_BYTES_MAX = 8 * 1024 * 1024;

type Ask = (objects: readonly Draft<KeptObject>[]) => Promise<readonly KeptObject[]>;

interface Wanted {
  readonly objects: readonly Draft<KeptObject>[];
  readonly kept: (objects: readonly KeptObject[]) => void;
  readonly failed: (error: unknown) => void;
}

export class KeepQuestions {
  readonly #ask: Ask;
  /** By scope, while one is open. */
  readonly #waiting = new Map<string, Wanted[]>();

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  /** All of them, for that scope. As they are kept, in the same order. */
  keep(scope: string, objects: readonly Draft<KeptObject>[]): Promise<readonly KeptObject[]> {
    return new Promise((kept, failed) => {
      const wanted = { objects, kept, failed };
      const waiting = this.#waiting.get(scope);
      if (waiting !== undefined) return void waiting.push(wanted);
      this.#waiting.set(scope, [wanted]);
      void this.#askAll(scope);
    });
  }

  async #askAll(scope: string): Promise<void> {
    for (;;) {
      const waiting = this.#waiting.get(scope) as Wanted[];
      if (waiting.length === 0) return void this.#waiting.delete(scope);
      await this.#together(firstOf(waiting));
    }
  }

  async #together(some: readonly Wanted[]): Promise<void> {
    try {
      const kept = await this.#ask(some.flatMap(({ objects }) => objects));
      let from = 0;
      for (const one of some) one.kept(kept.slice(from, (from += one.objects.length)));
    } catch (error) {
      if (some.length === 1) some[0].failed(error);
      else await Promise.all(some.map((one) => this.#together([one])));
    }
  }
}

/** Taken from the list: as many as one question is about, and one at least. */
function firstOf(waiting: Wanted[]): Wanted[] {
  let count = 0;
  let objects = 0;
  let bytes = 0;
  for (; count < waiting.length; count += 1) {
    objects += waiting[count].objects.length;
    for (const { value } of waiting[count].objects) bytes += value?.value?.length ?? 0;
    if (count > 0 && (objects > ASKED_MAX || bytes > ASKED_BYTES_MAX)) break;
  }
  return waiting.splice(0, count);
}
