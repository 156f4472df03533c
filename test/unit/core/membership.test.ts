// Membership: who is alive, and that the dead stay dead.

import fc from "fast-check";
import { expect, test } from "vitest";
import { LOOK_EVERY_MS, Membership, NODE_SILENCE_MS, type MembershipEvent } from "../../../runtime/core/index.ts";
import { DEAD_NODES_KEPT } from "../../../runtime/core/membership.ts";

type State = "ABSENT" | "ALIVE" | "DRAINING" | "DEAD";

const EVENTS: Readonly<Record<string, MembershipEvent>> = {
  joined: { kind: "joined", node: "n", process: "p" },
  joinedByAnother: { kind: "joined", node: "n", process: "q" },
  reported: { kind: "reported", node: "n", version: 2 },
  reportedLate: { kind: "reported", node: "n", version: 1 },
  linkLost: { kind: "linkLost", node: "n", reason: "cut" },
  draining: { kind: "draining", node: "n" },
  tick: { kind: "tick", now: 0 },
  tickAfterSilence: { kind: "tick", now: NODE_SILENCE_MS },
};

/** State after the event, and kinds of the effects; what is not in here changes nothing. */
const TRANSITIONS: Readonly<Record<State, Readonly<Record<string, readonly [State, ...string[]]>>>> = {
  ABSENT: { joined: ["ALIVE", "viewChanged"], joinedByAnother: ["ALIVE", "viewChanged"] },
  ALIVE: {
    joinedByAnother: ["ALIVE", "refuse"], reported: ["ALIVE", "viewChanged"], linkLost: ["DEAD", "died", "viewChanged"],
    draining: ["DRAINING", "viewChanged"], tickAfterSilence: ["DEAD", "died", "viewChanged"],
  },
  DRAINING: {
    joinedByAnother: ["DRAINING", "refuse"], reported: ["DRAINING", "viewChanged"], linkLost: ["DEAD", "died", "viewChanged"],
    tickAfterSilence: ["DEAD", "died", "viewChanged"],
  },
  DEAD: { joined: ["DEAD", "refuse"], joinedByAnother: ["DEAD", "refuse"] },
};

function inState(state: State): Membership {
  const membership = new Membership();
  if (state === "ABSENT") return membership;
  membership.step({ kind: "joined", node: "n", process: "p" });
  membership.step({ kind: "reported", node: "n", version: 1 });
  if (state === "DRAINING") membership.step({ kind: "draining", node: "n" });
  if (state === "DEAD") membership.step({ kind: "linkLost", node: "n", reason: "cut" });
  return silentUntil(membership, NODE_SILENCE_MS - LOOK_EVERY_MS);
}

/** Ticks at their times up to `until`, from the last whole bound of silence on. */
function silentUntil(membership: Membership, until: number): Membership {
  for (let now = Math.floor(until / NODE_SILENCE_MS) * NODE_SILENCE_MS; now <= until; now += LOOK_EVERY_MS) {
    membership.step({ kind: "tick", now });
  }
  return membership;
}

const STATES = Object.keys(TRANSITIONS) as State[];
const CASES = STATES.flatMap((state) => Object.keys(EVENTS).map((event) => [state, event] as const));

test.each(CASES)("%s, %s", (state, event) => {
  const membership = inState(state);
  const [next, ...effects] = TRANSITIONS[state][event] ?? [state];
  expect(membership.step(EVENTS[event]).map(({ kind }) => kind)).toEqual(effects);
  expect(membership.nodes.get("n")?.state ?? "ABSENT").toBe(next);
});

test("every report puts the death by silence off, also one that is late", () => {
  const membership = inState("ALIVE");
  membership.step({ kind: "reported", node: "n", version: 1 });
  expect(membership.step({ kind: "tick", now: NODE_SILENCE_MS })).toEqual([]);
  expect(silentUntil(membership, 2 * NODE_SILENCE_MS - LOOK_EVERY_MS).nodes.get("n")?.state).toBe("ALIVE");
  expect(membership.step({ kind: "tick", now: 2 * NODE_SILENCE_MS })).toHaveLength(2);
});

// The head's process was stopped, or its machine slept: the reports of that time are read after it wakes.
test("a head that has not looked for long declares nobody dead for it", () => {
  const membership = inState("ALIVE");
  membership.step({ kind: "reported", node: "n", version: 2 });
  membership.step({ kind: "tick", now: NODE_SILENCE_MS });
  expect(membership.step({ kind: "tick", now: 3_600_000 })).toEqual([]);
  membership.step({ kind: "reported", node: "n", version: 3 });
  expect(membership.step({ kind: "tick", now: 3_600_000 + LOOK_EVERY_MS })).toEqual([]);
});

// 1. the oldest node lives while a thousand others come and die    2. it dies as well
// 3. its agent, which was only cut off, comes back: it is refused like any other dead node
test("a node that has just died is remembered, however old it is", () => {
  const membership = inState("ALIVE");
  for (let index = 0; index < DEAD_NODES_KEPT; index += 1) {
    membership.step({ kind: "joined", node: `m${index}`, process: `m${index}` });
    membership.step({ kind: "linkLost", node: `m${index}`, reason: "cut" });
  }
  membership.step({ kind: "linkLost", node: "n", reason: "cut" });
  expect(membership.step(EVENTS.joined)).toEqual([expect.objectContaining({ kind: "refuse" })]);
  expect(membership.nodes.size).toBe(DEAD_NODES_KEPT);
  expect(membership.nodes.has("m0")).toBe(false);
});

test("in any history a node dies at most once, and never lives again", () => {
  const node = fc.constantFrom("a", "b", "c");
  const event: fc.Arbitrary<MembershipEvent> = fc.oneof(
    fc.record({ kind: fc.constant("joined" as const), node, process: fc.constantFrom("p", "q") }),
    fc.record({ kind: fc.constant("reported" as const), node, version: fc.nat(5) }),
    fc.record({ kind: fc.constant("linkLost" as const), node, reason: fc.constant("cut") }),
    fc.record({ kind: fc.constant("draining" as const), node }),
    fc.record({ kind: fc.constant("tick" as const), now: fc.nat(20_000) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), (events) => {
      const membership = new Membership();
      const dead = new Set<string>();
      for (const one of events) {
        for (const effect of membership.step(one)) {
          if (effect.kind !== "died") continue;
          expect(dead.has(effect.node)).toBe(false);
          dead.add(effect.node);
        }
        for (const known of dead) expect(membership.nodes.get(known)?.state).toBe("DEAD");
      }
    }),
  );
});
