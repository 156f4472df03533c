// Heads of different epochs, over one storage: the later one fences the earlier, and knows what that acknowledged.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HeadUnavailableError, type TroupeError } from "../../../runtime/errors.ts";
import { Head } from "../../../runtime/head/index.ts";
import { openStorage } from "../../../runtime/storage/index.ts";
import { systemClock, systemRandom } from "../../../runtime/system.ts";
import {
  AgentDetails, Caller, type Channel, fromBytes, HeadWelcome, type Identity, memoryTransport, type MemoryTransport,
  type MessageOf, type SendOf, toBytes,
} from "../../../runtime/transport/index.ts";

let folder: string;
let transport: MemoryTransport;
const heads: Head[] = [];
const caller = new Caller(systemClock);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "troupe-heads-"));
  transport = memoryTransport({ clock: systemClock });
});

afterEach(async () => {
  await Promise.all(heads.splice(0).map((head) => head.close()));
  rmSync(folder, { recursive: true, force: true });
});

async function startHead(name: string): Promise<TroupeError[]> {
  const failures: TroupeError[] = [];
  const identity: Identity = { kind: "head", processId: name, nodeId: "n1", clusterId: "c", token: "t" };
  const spawner = { spawn: () => { throw new Error("a head has no children"); } };
  const seams = { clock: systemClock, random: systemRandom, transport, spawner };
  const storage = await openStorage(folder, { synced: false });
  const head = new Head({ seams, identity, storage, failed: (error) => failures.push(error) });
  heads.push(head);
  await head.listen(`memory:${name}`);
  return failures;
}

interface Joined {
  readonly channel: Channel;
  readonly answers: MessageOf<"answer">[];
  readonly welcome: HeadWelcome;
}
const NEWS = ["clusterView", "adoptJob", "groupChanged", "nodeDied", "codeFreed"];

/** The agent of a node joins a head, and has told all it knows. */
async function joined(head: string, node = "n1", headEpoch = 0): Promise<Joined> {
  const identity: Identity = { kind: "agent", processId: `agent of ${node}`, nodeId: node, clusterId: "c", token: "t" };
  const answers: MessageOf<"answer">[] = [];
  const ignored = Object.fromEntries(NEWS.map((name) => [name, () => {}]));
  const answer = (said: MessageOf<"answer">) => {
    answers.push(said);
    caller.answered(said);
  };
  const handler = { messages: { ...ignored, answer }, onClose: caller.closed.bind(caller) };
  const details = toBytes(AgentDetails, { host: node, isHead: node === "n1", headEpoch });
  const channel = await transport.dial(`memory:${head}`, identity, handler, { details, timeoutMs: 5000 });
  channel.send("agentSynced", {});
  return { channel, answers, welcome: fromBytes(HeadWelcome, channel.peer.details) };
}

/** Asks in so many words, and takes as many answers. */
async function raw(head: string, ...calls: SendOf<"call">[]): Promise<MessageOf<"answer">[]> {
  const { channel, answers } = await joined(head);
  for (const call of calls) channel.send("call", call);
  await expect.poll(() => answers.length).toBe(calls.length);
  return answers;
}

const AT_MOST = { timeoutMs: 5000 };
const JOB = {
  details: { jobId: "job-1", namespace: "ns", jobName: "", entry: "" }, processId: "p", nodeId: "n1", driverNode: "n1",
};

test("a later head has a higher epoch, and knows nodes, jobs, groups and keys of the one before", async () => {
  await startHead("first");
  const first = await joined("first");
  await joined("first", "n2");
  await caller.call(first.channel, "registerJob", JOB, "registeredJob", AT_MOST);
  const bundles = [{ resources: { CPU: 10_000 } }];
  const spec = { group: "g", name: "named", namespace: "ns", strategy: "PACK", bundles, holder: "job-1" };
  await caller.call(first.channel, "createGroup", { spec }, "group", AT_MOST);
  const changes = [{ kind: "set", key: "k", value: Buffer.from("v") }];
  await caller.call(first.channel, "commitKeys", { changes }, "committed", AT_MOST);

  await startHead("second");
  const { channel, welcome } = await joined("second", "n1", first.welcome.headEpoch);
  expect(welcome.headEpoch).toBeGreaterThan(first.welcome.headEpoch);
  expect(welcome.jobs).toEqual(["job-1"]);
  expect(welcome.view?.nodes.map(({ id, state }) => [id, state])).toEqual([["n1", "ALIVE"], ["n2", "ALIVE"]]);
  const found = await caller.call(channel, "findGroup", { name: "named", namespace: "ns" }, "group", AT_MOST);
  expect([found.spec?.group, found.state]).toEqual(["g", "PENDING"]);
  const { entries } = await caller.call(channel, "readKeys", { key: "k", exact: true }, "entries", AT_MOST);
  expect(Buffer.from(entries[0].value).toString()).toBe("v");
});

test("an older head can't write any more, fails, and takes no agent that knows a later one", async () => {
  const failures = await startHead("first");
  const old = await joined("first");
  await startHead("second");
  const { welcome } = await joined("second", "n2");
  await expect(joined("first", "n3", welcome.headEpoch)).rejects.toThrow(HeadUnavailableError);
  const written = caller.call(old.channel, "registerJob", JOB, "registeredJob", AT_MOST);
  await expect(written).rejects.toThrow(HeadUnavailableError);
  expect(failures[0]?.message).toMatch(/another head has taken over/);
});

test("a conditional batch that is asked again, of the next head, is applied once and says so", async () => {
  await startHead("first");
  const changes = [{ kind: "check", key: "k", exists: false }, { kind: "set", key: "k", value: Buffer.from("v") }];
  const [first] = await raw("first", { id: 1, attempt: 1, commitKeys: { changes } });
  expect(first.committed?.applied).toBe(true);
  await startHead("second");
  // As an agent does whose question was applied, and not answered.
  const again = { id: 1, attempt: 2, commitKeys: { changes } };
  const answers = await raw("second", again, { id: 2, attempt: 1, commitKeys: { changes } });
  expect(answers.map(({ committed }) => committed?.applied)).toEqual([true, false]);
});
