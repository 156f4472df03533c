// Every question that can be asked is asked twice with the same id, as after a broken link: one effect, the same answer twice.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testCluster, type TestCluster } from "troupe/testing";
import {
  type Answer, type Call, type CallName, type Channel, DriverDetails, systemTransport, toBytes, type Draft,
} from "../../runtime/transport/index.ts";
import { systemClock } from "../../runtime/system.ts";

let cluster: TestCluster;
let channel: Channel;
let nodeId = "";
const answers = new Map<number, ((answer: Answer) => void)[]>();
let lastId = 0;

const PROCESS = "00000000000000aa";

beforeAll(async () => {
  cluster = await testCluster({ head: { numCpus: 2 } });
  const handler = {
    messages: {
      answer: (answer: Answer) => answers.get(answer.id)?.shift()?.(answer),
      // What a driver is told besides; an unknown message would break the channel.
      processDied: () => {},
      logLines: () => {},
    },
    onClose: () => {},
  };
  // On the agent's node: it shares the node's memory.
  nodeId = /s-([0-9a-f]{16})\/agent\.sock$/.exec(cluster.socket)?.[1] ?? "";
  const identity = { kind: "driver", processId: PROCESS, nodeId, clusterId: "", token: cluster.token } as const;
  const options = { details: toBytes(DriverDetails, {}), timeoutMs: 10_000 };
  channel = await systemTransport({ clock: systemClock }).dial(`tcp:${cluster.address}`, identity, handler, options);
});
afterAll(async () => {
  channel.close();
  await cluster.stop();
});

/** Asks twice, the second time as a further attempt of the same call. */
async function twice(body: Draft<Omit<Call, "id">>): Promise<[Answer, Answer]> {
  const id = ++lastId;
  const both = [1, 2].map(() => new Promise<Answer>((resolve) => answers.set(id, [...(answers.get(id) ?? []), resolve])));
  channel.send("call", { ...body, id, attempt: 1 });
  channel.flush();
  const first = await both[0];
  channel.send("call", { ...body, id, attempt: 2 });
  return [first, await both[1]];
}

const spec = (actor: string, name: string) => ({
  actor,
  name,
  namespace: "twice",
  className: "Twice",
  functionId: "none",
  placement: { CPU: 10_000 },
  lifetime: {},
  owner: PROCESS,
  ownerNode: nodeId,
  jobId: "job-twice",
  maxConcurrency: 1,
  infeasibleGraceMs: 1000,
});

/** A body for each question an agent takes from a process. */
const QUESTIONS: Partial<Record<CallName, () => Draft<Omit<Call, "id">>>> = {
  registerJob: () => ({ registerJob: { details: { jobId: "job-twice", namespace: "twice" } } }),
  createActor: () => ({ createActor: { spec: spec(`${PROCESS}.1`, "one") } }),
  resolveActor: () => ({ resolveActor: { actor: `${PROCESS}.1` } }),
  killActor: () => ({ killActor: { actor: `${PROCESS}.1`, noRestart: true } }),
  listState: () => ({ listState: { kind: "jobs" } }),
  grantSlab: () => ({ grantSlab: { sizeClass: 3 } }),
  grantDescriptors: () => ({ grantDescriptors: { count: 4 } }),
  allocateObject: () => ({ allocateObject: { bytes: 1 << 20 } }),
  fetchObject: () => ({ fetchObject: { owner: PROCESS, object: 1, source: { node: nodeId, slot: 1, generation: 1, size: 10 } } }),
  readChunk: () => ({ readChunk: { slot: 60_000, generation: 1, offset: 0, length: 10, node: nodeId } }),
  // Asked of nobody here: refused twice with the same words.
  placeActor: () => ({ placeActor: { spec: spec(`${PROCESS}.2`, "") } }),
  registerNode: () => ({ registerNode: {} }),
};

describe("asked twice", () => {
  test.each(Object.keys(QUESTIONS) as CallName[])("%s", async (name) => {
    const ask = QUESTIONS[name] as () => Draft<Omit<Call, "id">>;
    const [first, second] = await twice(ask());
    expect(second).toEqual(first);
    expect(first.body ?? first.failure?.code).toBeTypeOf("string");
  });

  test("a grant is made once: what is given out twice would be written by two", async () => {
    const [first] = await twice({ allocateObject: { bytes: 1 << 20 } });
    const [other] = await twice({ allocateObject: { bytes: 1 << 20 } });
    expect(other.object?.offset).not.toBe(first.object?.offset);
    const [slab, again] = await twice({ grantSlab: { sizeClass: 5 } });
    expect(again.slab).toEqual(slab.slab);
  });

  test("a job is registered once", async () => {
    const details = { jobId: "job-once", namespace: "first" };
    await twice({ registerJob: { details } });
    const [{ registeredJob: again }] = await twice({ registerJob: { details: { ...details, namespace: "second" } } });
    expect(again).toMatchObject(details);
    const [{ stateRows }] = await twice({ listState: { kind: "jobs" } });
    expect((JSON.parse(stateRows?.json ?? "[]") as { id: string }[]).filter(({ id }) => id === "job-once")).toHaveLength(1);
  });
});
