// Streams: every item once, in order, never more than the limit ahead, in every order of events of small worlds.

import { describe, expect, test } from "vitest";
import { StreamIntake, StreamOutlet } from "../../../runtime/core/index.ts";

test("a run for lost items sends those alone, without a limit, and is over with the last", () => {
  const outlet = new StreamOutlet(2, { received: 0, taken: 0, missing: [5, 1] });
  const sent: (number | undefined)[] = [];
  while (!outlet.isOver) {
    expect(outlet.isFull).toBe(false);
    sent.push(outlet.yielded());
  }
  expect(sent).toEqual([undefined, 1, undefined, undefined, undefined, 5]);
});

type Word = { readonly item: number } | "end";
type Action = "yield" | "hear" | "tell" | "take" | "crash";
const ACTIONS: readonly Action[] = ["yield", "hear", "tell", "take", "crash"];

interface Size {
  readonly limit: number;
  readonly items: number;
  readonly crashes: number;
}

/** A generator of `items` numbers, its owner, and the words on their way between them. */
class World {
  readonly #size: Size;
  readonly intake = new StreamIntake<number>();
  #outlet: StreamOutlet;
  #began = { received: 0, taken: 0, missing: [] as number[] };
  #yielded = 0;
  #attempt = 0;
  #finished = false;
  #toOwner: Word[] = [];
  #toProducer: number[] = [];
  readonly taken: number[] = [];
  /** Most items that were yielded for the first time and not taken. */
  ahead = 0;

  constructor(size: Size) {
    this.#size = size;
    this.#outlet = new StreamOutlet(size.limit, this.#began);
  }

  /** False when the action is not possible now. */
  act(action: Action): boolean {
    if (action === "yield") return this.#yield();
    if (action === "hear") return this.#hear();
    if (action === "tell") return this.#tell();
    if (action === "take") return this.#take();
    return this.#crash();
  }

  #yield(): boolean {
    if (this.#finished || this.#outlet.isFull) return false;
    if (this.#yielded === this.#size.items) {
      this.#finished = true;
      this.#toOwner.push("end");
      return true;
    }
    const item = this.#yielded++;
    const index = this.#outlet.yielded();
    if (index !== undefined) this.#toOwner.push({ item: index });
    expect(index ?? item).toBe(item);
    this.ahead = Math.max(this.ahead, item + 1 - this.taken.length);
    return true;
  }

  #hear(): boolean {
    const word = this.#toOwner.shift();
    if (word === undefined) return false;
    if (word === "end") this.intake.end();
    else if (this.intake.arrival(word.item) === "next") this.intake.add(word.item);
    else throw new Error(`item ${word.item} is no news`);
    return true;
  }

  #tell(): boolean {
    const count = this.#toProducer.shift();
    if (count === undefined) return false;
    this.#outlet.taken(count);
    return true;
  }

  #take(): boolean {
    const item = this.intake.take();
    if (item === undefined) return false;
    this.taken.push(item);
    if (!this.intake.ended) this.#toProducer.push(this.taken.length);
    return true;
  }

  /** The producer and what is on its way are gone; another attempt begins. */
  #crash(): boolean {
    if (this.#attempt === this.#size.crashes || this.intake.ended) return false;
    this.#attempt += 1;
    this.#began = this.intake.position;
    this.#outlet = new StreamOutlet(this.#size.limit, this.#began);
    this.#yielded = 0;
    this.#finished = false;
    this.#toOwner = [];
    this.#toProducer = [];
    return true;
  }

  key(): string {
    const { received, taken } = this.intake.position;
    return JSON.stringify([
      received, taken, this.intake.ended, this.#began, this.#yielded, this.#attempt, this.#finished, this.#toOwner,
      this.#toProducer, this.#outlet.isFull,
    ]);
  }
}

function worldAfter(size: Size, actions: readonly Action[]): World {
  const world = new World(size);
  for (const action of actions) world.act(action);
  return world;
}

/** Every state that can be reached, each once. */
function explore(size: Size): { readonly states: number; readonly ends: number } {
  const seen = new Set<string>();
  let ends = 0;
  let paths: (readonly Action[])[] = [[]];
  while (paths.length > 0) {
    const longer: (readonly Action[])[] = [];
    for (const path of paths) {
      let goesOn = false;
      for (const action of ACTIONS) {
        const world = worldAfter(size, path);
        if (!world.act(action)) continue;
        goesOn ||= action !== "crash";
        expect(world.taken, path.join(" ")).toEqual(world.taken.map((_, index) => index));
        expect(world.ahead, path.join(" ")).toBeLessThanOrEqual(size.limit);
        const key = world.key();
        if (seen.has(key)) continue;
        seen.add(key);
        longer.push([...path, action]);
      }
      if (goesOn) continue;
      // Nothing can happen any more: then everything has.
      ends += 1;
      const world = worldAfter(size, path);
      expect(world.taken, path.join(" ")).toHaveLength(size.items);
      expect(world.intake.done, path.join(" ")).toBe(true);
    }
    paths = longer;
  }
  return { states: seen.size, ends };
}

describe("every order of events", () => {
  const sizes = [1, 2, 3].flatMap((limit) => [0, 1, 2, 4].map((items) => ({ limit, items, crashes: 2 })));
  test.each(sizes)("limit $limit, $items items, $crashes crashes", (size) => {
    const { states, ends } = explore(size);
    expect(states).toBeGreaterThan(size.items);
    expect(ends).toBeGreaterThan(0);
  });

  test("the limit is reached, too: the generator is as far ahead as it may be", () => {
    const world = worldAfter({ limit: 3, items: 9, crashes: 0 }, Array.from({ length: 9 }, (): Action => "yield"));
    expect(world.ahead).toBe(3);
  });
});

describe("the intake", () => {
  test("tells what is next from what is here already and from what can't be", () => {
    const intake = new StreamIntake<string>();
    expect(intake.arrival(0)).toBe("next");
    intake.add("a");
    expect([0, 1, 2].map((index) => intake.arrival(index))).toEqual(["repeat", "next", "gap"]);
  });

  test("has an error as its last item, after those that came before it", () => {
    const intake = new StreamIntake<string>();
    intake.add("a");
    intake.end("error");
    intake.end("another");
    expect(intake.arrival(1)).toBe("repeat");
    expect([intake.take(), intake.done]).toEqual(["a", false]);
    expect([intake.take(), intake.done, intake.take()]).toEqual(["error", true, undefined]);
  });

  test("that is cut gives back what nobody took, and the reason is next", () => {
    const intake = new StreamIntake<string>();
    intake.add("a");
    intake.add("b");
    intake.take();
    expect(intake.cut("cancelled")).toEqual(["b"]);
    expect([intake.take(), intake.take(), intake.done]).toEqual(["cancelled", undefined, true]);
  });
});
