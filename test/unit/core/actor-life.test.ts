// Life of an actor at its host: every state against every event, then whole lives at random.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  newActorLife,
  stepActor,
  type ActorEffect,
  type ActorEvent,
  type ActorLife,
  type ActorState,
} from "../../../runtime/core/index.ts";

/** Incarnation 2 with one restart left. */
const inState = (state: ActorState): ActorLife => ({ state, incarnation: 2, restartsLeft: 1, restarts: 2, mayRestart: true });

const EVENTS: Readonly<Record<string, ActorEvent>> = {
  placed: { kind: "placed", incarnation: 2 },
  constructed: { kind: "constructed", incarnation: 2 },
  constructorThrew: { kind: "constructorThrew", incarnation: 2 },
  workerDied: { kind: "workerDied", incarnation: 2 },
  hostDied: { kind: "hostDied", incarnation: 2, charged: false },
  hostDiedOfIt: { kind: "hostDied", incarnation: 2, charged: true },
  hostDiedLate: { kind: "hostDied", incarnation: 1, charged: true },
  kill: { kind: "kill", restart: false },
  killToRestart: { kind: "kill", restart: true },
  end: { kind: "end" },
  refused: { kind: "refused" },
  placedLate: { kind: "placed", incarnation: 1 },
  constructedLate: { kind: "constructed", incarnation: 1 },
  constructorThrewLate: { kind: "constructorThrew", incarnation: 1 },
  workerDiedLate: { kind: "workerDied", incarnation: 1 },
};

type Row = Readonly<Record<string, readonly [ActorState, ...ActorEffect[]]>>;

const UNPLACED_ENDS: Row = { kill: ["dead", "announce"], end: ["dead", "announce"], refused: ["dead", "announce"] };
const PLACED_ENDS: Row = {
  kill: ["dead", "endWorker", "release", "announce"], end: ["dead", "endWorker", "release", "announce"],
  refused: ["dead", "endWorker", "release", "announce"], workerDied: ["restarting", "release", "announce", "place"],
  killToRestart: ["restarting", "endWorker", "release", "announce", "place"],
  hostDied: ["restarting", "release", "announce", "place"], hostDiedOfIt: ["restarting", "release", "announce", "place"],
};

/** What is not in here changes nothing. */
const TRANSITIONS: Readonly<Record<ActorState, Row>> = {
  pending: { ...UNPLACED_ENDS, placed: ["starting", "construct"] },
  starting: {
    ...PLACED_ENDS,
    constructed: ["alive", "announce"],
    constructorThrew: ["dead", "endWorker", "release", "announce"],
  },
  alive: PLACED_ENDS,
  restarting: { ...UNPLACED_ENDS, placed: ["starting", "construct"] },
  dead: {},
};

describe.each(Object.keys(TRANSITIONS) as ActorState[])("an actor that is %s", (state) => {
  test.each(Object.keys(EVENTS))("on %s", (name) => {
    const actor = inState(state);
    const effects = stepActor(actor, EVENTS[name]);
    const [next, ...expected] = TRANSITIONS[state][name] ?? [state];
    expect([actor.state, ...effects]).toEqual([next, ...expected]);
    const restarted = next === "restarting" && state !== "restarting" ? 1 : 0;
    const charged = name === "hostDied" ? 0 : restarted;
    expect(actor).toMatchObject({ incarnation: 2 + restarted, restartsLeft: 1 - charged, restarts: 2 + charged });
  });
});

test("what it did not do itself ends it only when it has no restarts at all", () => {
  const spent: ActorLife = { ...inState("alive"), restartsLeft: 0 };
  expect(stepActor(spent, EVENTS.hostDied)).toContain("place");
  expect(spent).toMatchObject({ state: "restarting", restartsLeft: 0, restarts: 2 });
  const without: ActorLife = { ...inState("alive"), restartsLeft: 0, mayRestart: false };
  expect(stepActor(without, EVENTS.hostDied)).toEqual(["release", "announce"]);
  expect(without.state).toBe("dead");
});

test("without restarts left the death of its worker is its own", () => {
  for (const event of [EVENTS.workerDied, EVENTS.killToRestart]) {
    const actor: ActorLife = { ...inState("alive"), restartsLeft: 0 };
    expect(stepActor(actor, event).at(-1)).toBe("announce");
    expect(actor).toEqual({ ...inState("dead"), restartsLeft: 0 });
  }
});

test("in any history it holds a worker exactly while it is placed, and dies once", () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constantFrom("placed", "constructed", "constructorThrew", "workerDied"), incarnation: fc.nat(4) }),
    fc.record({ kind: fc.constant("kill"), restart: fc.boolean() }),
    fc.record({ kind: fc.constant("hostDied"), incarnation: fc.nat(4), charged: fc.boolean() }),
    fc.record({ kind: fc.constantFrom("end", "refused") }),
  ) as fc.Arbitrary<ActorEvent>;
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: -1, max: 3 }), (events, restarts) => {
      const actor = newActorLife(restarts);
      let held = 0;
      let asked = 1;
      for (const one of events) {
        for (const effect of stepActor(actor, one)) {
          if (effect === "construct") (held += 1), (asked -= 1);
          if (effect === "release") held -= 1;
          if (effect === "place") asked += 1;
        }
        expect(held).toBe(actor.state === "starting" || actor.state === "alive" ? 1 : 0);
        if (actor.state !== "dead") expect(held + asked).toBe(1);
        expect(actor.restarts).toBeLessThanOrEqual(actor.incarnation);
        if (restarts >= 0) expect(actor.restarts + actor.restartsLeft).toBe(restarts);
      }
    }),
  );
});
