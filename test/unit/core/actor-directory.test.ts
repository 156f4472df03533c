// The head's view of all actors: names, news, and what the death of a node means.

import { describe, expect, test } from "vitest";
import { ActorDirectory, type DirectoryInfo } from "../../../runtime/core/index.ts";
import { DEAD_ACTORS_KEPT, type DirectoryState } from "../../../runtime/core/actor-directory.ts";

function info(actor: string, state: DirectoryState, more: Partial<DirectoryInfo> = {}): DirectoryInfo {
  return {
    actor,
    state,
    node: "n1",
    incarnation: 0,
    restarts: 0,
    name: "",
    namespace: "",
    owner: "o",
    jobId: "j",
    detached: false,
    maxRestarts: 0,
    ...more,
  };
}

const ORDER: readonly DirectoryState[] = ["PENDING", "RESTARTING", "ALIVE", "DEAD"];

describe("a report", () => {
  const cases = ORDER.flatMap((known) => ORDER.map((said) => [known, said] as const));

  test.each(cases)("of the same incarnation: %s, then %s", (known, said) => {
    const directory = new ActorDirectory();
    directory.reported(info("a", known));
    const news = known !== "DEAD" && ORDER.indexOf(said) >= ORDER.indexOf(known);
    expect(directory.reported(info("a", said))).toBe(news);
    expect(directory.find("a")?.state).toBe(news ? said : known);
  });

  test("of an older incarnation is ignored, of a newer one is news, but for the dead", () => {
    const directory = new ActorDirectory();
    directory.reported(info("a", "ALIVE", { incarnation: 1 }));
    expect(directory.reported(info("a", "DEAD", { incarnation: 0 }))).toBe(false);
    expect(directory.reported(info("a", "RESTARTING", { incarnation: 2 }))).toBe(true);
    expect(directory.reported(info("a", "DEAD", { incarnation: 2 }))).toBe(true);
    expect(directory.reported(info("a", "ALIVE", { incarnation: 3 }))).toBe(false);
  });

  test("of a death is remembered, within bounds", () => {
    const directory = new ActorDirectory();
    for (let index = 0; index <= DEAD_ACTORS_KEPT; index += 1) directory.reported(info(`a${index}`, "DEAD"));
    expect(directory.find("a0")).toBeUndefined();
    expect(directory.find("a1")?.state).toBe("DEAD");
    expect([...directory.all()]).toHaveLength(DEAD_ACTORS_KEPT);
  });
});

describe("a name", () => {
  const named = (actor: string, namespace = "s") => info(actor, "PENDING", { name: "x", namespace });

  test("belongs to who claimed it first, until that actor is dead", () => {
    const directory = new ActorDirectory();
    expect(directory.claimName(named("a"))).toBeUndefined();
    expect(directory.claimName(named("a"))).toBeUndefined();
    expect(directory.claimName(named("b"))?.actor).toBe("a");
    expect(directory.claimName(named("c", "other"))).toBeUndefined();
    directory.reported({ ...named("a"), state: "DEAD" });
    expect(directory.named("s", "x")).toBeUndefined();
    expect(directory.claimName(named("b"))).toBeUndefined();
    expect(directory.named("s", "x")?.actor).toBe("b");
  });

  test("claimed again by an actor that lives keeps what is known of it", () => {
    const directory = new ActorDirectory();
    directory.claimName(named("a"));
    directory.reported({ ...named("a"), state: "ALIVE" });
    directory.claimName(named("a"));
    expect(directory.find("a")?.state).toBe("ALIVE");
  });
});

test("the death of a node replaces what may restart and ends the rest", () => {
  const directory = new ActorDirectory();
  const infos = [
    info("spent", "ALIVE", { maxRestarts: 2, restarts: 2 }),
    info("left", "ALIVE", { maxRestarts: 2, restarts: 1, incarnation: 1 }),
    info("endless", "PENDING", { maxRestarts: -1, restarts: 9, incarnation: 9 }),
    info("none", "ALIVE"),
    info("dead", "DEAD"),
    info("elsewhere", "ALIVE", { node: "n2" }),
  ];
  for (const one of infos) directory.reported(one);
  const losses = directory
    .nodeDied("n1")
    .map((loss) => [loss.info.actor, loss.kind === "dead" ? "dead" : [loss.incarnation, loss.restarts]]);
  expect(losses).toEqual([["spent", "dead"], ["left", [2, 2]], ["endless", [10, 10]], ["none", "dead"]]);
});
