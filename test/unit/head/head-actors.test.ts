// An actor is ended wherever it is: at its node, on its way to another one, or between two lives.

import { expect, test } from "vitest";
import { NodeDiedError, NotFoundError } from "../../../runtime/errors.ts";
import { HeadActors, infoOf } from "../../../runtime/head/head-actors.ts";
import { HeadRecords } from "../../../runtime/head/head-records.ts";
import { MemoryStorage, OpenStorage } from "../../../runtime/storage/index.ts";
import { ActorSpec, type ActorInfo, type Caller, type Channel, fromBytes, toBytes } from "../../../runtime/transport/index.ts";
import { HandClock } from "../../hand-clock.ts";

const SPEC = fromBytes(ActorSpec, toBytes(ActorSpec, { actor: "a1", className: "Counter", maxRestarts: 1, owner: "p" }));
const KILL = { actor: "a1", noRestart: true, graceful: true, reason: "its last handle is gone" };

/** A head that knows nodes `a` and `b`; the nodes in `hosts` have the actor. */
async function headOf(hosts: Set<string>) {
  const clock = new HandClock();
  const asked: string[] = [];
  const channels = new Map(["a", "b"].map((node) => [node, { node } as unknown as Channel]));
  const call = async (channel: unknown, name: string) => {
    const { node } = channel as { node: string };
    asked.push(`${name} ${node}`);
    if (name === "killActor" && !hosts.delete(node)) throw new NotFoundError("not here");
    return {};
  };
  const records = new HeadRecords(await OpenStorage.open(new MemoryStorage()), () => {});
  const actors = new HeadActors({
    clock, records, caller: { call } as unknown as Caller, random: { next: () => 0, hex: () => "" },
    whole: async (then) => then(), channelOf: (node) => channels.get(node), nodes: () => [], endOf: () => undefined,
    changed: () => {},
  });
  const told = (state: string, node: string) => {
    actors.reported({ info: { ...infoOf(SPEC, state), node } as ActorInfo, spec: SPEC });
  };
  /** Lets what was asked be answered, and time pass. */
  const pass = async (ms: number) => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    clock.advance(ms);
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
  };
  return { actors, asked, channels, told, pass };
}

test("one that was handed to another node is ended there, once that node tells of it", async () => {
  const { actors, asked, told, pass } = await headOf(new Set(["b"]));
  told("PENDING", "a");
  const killed = actors.kill(KILL);
  await pass(100);
  told("PENDING", "b");
  await pass(100);
  expect(await killed).toEqual({ done: {} });
  expect(asked).toEqual(["killActor a", "killActor a", "killActor b"]);
});

test("one that left a node and comes to no other is not waited for for ever", async () => {
  const { actors, told, pass } = await headOf(new Set());
  told("PENDING", "a");
  const killed = expect(actors.kill(KILL)).rejects.toThrow(NotFoundError);
  for (let second = 0; second < 11; second += 1) for (let tenth = 0; tenth < 10; tenth += 1) await pass(100);
  await killed;
});

test("one that waits for a node after its own has died has no next life, and a node that takes it late ends it", async () => {
  const { actors, asked, channels, told, pass } = await headOf(new Set(["b"]));
  told("ALIVE", "a");
  channels.delete("a");
  actors.nodeDied("a", "killed");
  expect(await actors.kill({ ...KILL, noRestart: false })).toEqual({ done: {} });
  expect(actors.isAlive("a1")).toBe(true);
  expect(await actors.kill(KILL)).toEqual({ done: {} });
  expect(actors.isAlive("a1")).toBe(false);
  told("PENDING", "b");
  await pass(0);
  expect(asked).toEqual(["killActor b"]);
  expect(actors.isAlive("a1")).toBe(false);
});

test("where its node is out of reach the kill fails, and says why", async () => {
  const { actors, channels, told } = await headOf(new Set(["a"]));
  told("ALIVE", "a");
  channels.delete("a");
  await expect(actors.kill(KILL)).rejects.toThrow(NodeDiedError);
});
