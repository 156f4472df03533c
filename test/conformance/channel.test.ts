// One suite over every kind of channel: whatever holds for one must hold for all.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { errorOf, AuthenticationError, ConnectionError, InvalidArgumentError } from "../../runtime/errors.ts";
import type { Channel, MessageOf, Peer } from "../../runtime/transport/index.ts";
import { identityOf, type Pair, pairOf, Recorder, TOKEN, type World, WORLDS } from "./fixtures/channel-worlds.ts";

const MIB = 1024 * 1024;

describe.each(Object.entries(WORLDS))("channel over %s", (_name, make) => {
  let world: World;
  let tasks: MessageOf<"pushTask">[];
  let done: MessageOf<"taskDone">[];
  let near: Recorder;
  let far: Recorder;

  beforeEach(() => {
    world = make();
    tasks = [];
    done = [];
    near = new Recorder({ taskDone: (body) => done.push(body) });
    far = new Recorder({ pushTask: (body) => tasks.push(body) });
  });
  afterEach(() => world.dispose());

  const open = (): Promise<Pair> => pairOf(world, near, far);

  it("tells both sides who the other is, with its registration", async () => {
    let seen: Peer | undefined;
    const listener = await world.listen(identityOf("worker"), (peer) => {
      seen = peer;
      return { handler: far, details: Buffer.from("welcome") };
    });
    const channel = await world.dial(listener.address, identityOf("driver"), near, { details: Buffer.from("register") });
    expect(seen).toMatchObject({ kind: "driver", processId: "driver-0001", nodeId: "node-1", clusterId: "cluster-1",
      pid: process.pid });
    expect(Buffer.from(seen!.details).toString()).toBe("register");
    expect(channel.peer).toMatchObject({ kind: "worker", processId: "worker-0001", clusterId: "cluster-1", pid: process.pid });
    expect(Buffer.from(channel.peer.details).toString()).toBe("welcome");
    expect(channel.open).toBe(true);
  });

  it("delivers what is sent right after the welcome, by either side", async () => {
    const listener = await world.listen(identityOf("worker"), () => ({
      handler: far, accepted: (channel) => channel.send("taskDone", { task: 1 }),
    }));
    const channel = await world.dial(listener.address, identityOf("driver"), near);
    channel.send("pushTask", { task: 2 });
    await near.when(() => done.length === 1);
    await far.when(() => tasks.length === 1);
    expect([done[0].task, tasks[0].task]).toEqual([1, 2]);
  });

  it("keeps the order and the contents of 100,000 small messages in both directions", async () => {
    const count = 100_000;
    const pair = await open();
    const args = Buffer.from("twenty bytes of args");
    for (let sent = 0; sent < count; ) {
      for (let i = 0; i < 5_000; i++, sent++) {
        pair.near.send("pushTask", { template: 7, task: sent + 1, args });
        pair.far.send("taskDone", { task: sent + 1, results: [{ value: args }] });
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await far.when(() => tasks.length === count);
    await near.when(() => done.length === count);
    expect(tasks.every((body, i) => body.task === i + 1 && body.template === 7)).toBe(true);
    expect(done.every((body, i) => body.task === i + 1)).toBe(true);
    expect(Buffer.from(tasks[count - 1].args).toString()).toBe("twenty bytes of args");
    expect(Buffer.from(done[0].results[0].value!).toString()).toBe("twenty bytes of args");
  });

  it("delivers the messages of one turn in fewer turns than messages", async () => {
    const pair = await open();
    const before = far.turns;
    for (let task = 1; task <= 200; task++) pair.near.send("pushTask", { task });
    await far.when(() => tasks.length === 200);
    expect(far.turns - before).toBeLessThan(100);
  });

  it("carries chunks of 8 MiB, alone and between small messages", async () => {
    const pair = await open();
    const chunk = Buffer.allocUnsafe(8 * MIB);
    for (let i = 0; i < chunk.length; i += 4) chunk.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
    for (let task = 1; task <= 3; task++) {
      pair.near.send("pushTask", { task: task * 2 - 1, args: chunk });
      pair.near.send("pushTask", { task: task * 2 });
    }
    await far.when(() => tasks.length === 6);
    expect(tasks.map((body) => body.task)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const at of [0, 2, 4]) expect(Buffer.compare(chunk, Buffer.from(tasks[at].args))).toBe(0);
  });

  it("encodes when it sends: the sender may change the body afterwards", async () => {
    const pair = await open();
    const args = Buffer.alloc(100, 1);
    for (let task = 1; task <= 10; task++) pair.near.send("pushTask", { task, args });
    args.fill(2);
    await far.when(() => tasks.length === 10);
    expect(tasks.every((body) => body.args.every((byte) => byte === 1))).toBe(true);
  });

  it("refuses a message that is too long, at its sender, and goes on", async () => {
    const pair = await open();
    expect(() => pair.near.send("pushTask", { args: Buffer.alloc(64 * MIB) })).toThrow(InvalidArgumentError);
    expect(() => pair.near.send("pushTask", { task: 2 ** 60 })).toThrow(InvalidArgumentError);
    pair.near.send("pushTask", { task: 3 });
    await far.when(() => tasks.length === 1);
    expect(tasks[0].task).toBe(3);
  });

  it("says goodbye: both sides close once, without a failure, after everything sent has arrived", async () => {
    const pair = await open();
    for (let task = 1; task <= 1_000; task++) pair.near.send("pushTask", { task });
    pair.near.close("finished");
    pair.near.close("again");
    expect(pair.near.open).toBe(false);
    pair.near.send("pushTask", { task: 1_001 });
    await far.when(() => far.closes.length === 1);
    await near.when(() => near.closes.length === 1);
    expect(tasks.length).toBe(1_000);
    expect(near.closes).toEqual([undefined]);
    expect(far.closes).toEqual([undefined]);
    await settle();
    expect([near.closes.length, far.closes.length]).toEqual([1, 1]);
  });

  it("delivers nothing after the close", async () => {
    const pair = await open();
    for (let task = 1; task <= 100; task++) pair.far.send("taskDone", { task });
    pair.near.close();
    await near.when(() => near.closes.length === 1);
    const seen = done.length;
    await far.when(() => far.closes.length === 1);
    await settle();
    expect(done.length).toBe(seen);
    expect(far.closes).toEqual([undefined]);
  });

  it("a message that nobody takes breaks the channel with a typed failure on both sides", async () => {
    const pair = await open();
    pair.near.send("suspended", { lease: "x" });
    await far.when(() => far.closes.length === 1);
    await near.when(() => near.closes.length === 1);
    expect(errorOf(far.closes[0]!).message).toContain("suspended");
    expect(near.closes[0]).toBeDefined();
  });

  it("a handler that throws breaks the channel and its error is the cause", async () => {
    far = new Recorder({ pushTask: () => { throw new RangeError("no such template"); } });
    const pair = await open();
    pair.near.send("pushTask", { task: 1 });
    await far.when(() => far.closes.length === 1);
    expect(errorOf(far.closes[0]!).message).toContain("no such template");
    await near.when(() => near.closes.length === 1);
  });

  it("closing the listener closes its channels", async () => {
    let accepted!: Channel;
    const listener = await world.listen(identityOf("worker"), () =>
      ({ handler: far, accepted: (channel) => (accepted = channel) }));
    await world.dial(listener.address, identityOf("driver"), near);
    expect(accepted.open).toBe(true);
    await listener.close();
    await near.when(() => near.closes.length === 1);
    await expect(world.dial(listener.address, identityOf("driver"), near, { timeoutMs: 500 })).rejects.toThrow();
  });

  it("shows what a slow reader has not taken, and calls back when it has", async () => {
    const pair = await open();
    const args = Buffer.alloc(MIB);
    let most = 0;
    for (let task = 1; task <= 24; task++) {
      pair.near.send("pushTask", { task, args });
      most = Math.max(most, pair.near.bufferedBytes);
    }
    expect(most).toBeGreaterThan(2 * MIB);
    await far.when(() => tasks.length === 24);
    if (world.name !== "relay") await near.when(() => near.drains > 0);
    expect(pair.near.bufferedBytes).toBeLessThan(24 * MIB);
  });

  describe("hello", () => {
    const admit = () => ({ handler: far });

    it.each([["wrong", "f".repeat(32)], ["missing", ""], ["longer", `${TOKEN}0`]])("refuses a %s token", async (_kind, token) => {
      const listener = await world.listen(identityOf("worker"), admit);
      const dialling = world.dial(listener.address, identityOf("driver", { token }), near);
      const error = await dialling.then(() => undefined, (reason: unknown) => reason);
      expect(error).toBeInstanceOf(AuthenticationError);
      expect(String((error as Error).message)).not.toContain(TOKEN);
    });

    it("refuses another cluster's process", async () => {
      const listener = await world.listen(identityOf("worker"), admit);
      await expect(world.dial(listener.address, identityOf("driver", { clusterId: "cluster-2" }), near))
        .rejects.toThrow(/cluster-2.*cluster-1/);
    });

    it("takes a process that does not know the cluster yet", async () => {
      const listener = await world.listen(identityOf("worker"), admit);
      const channel = await world.dial(listener.address, identityOf("driver", { clusterId: "" }), near);
      expect(channel.peer.clusterId).toBe("cluster-1");
    });

    it("passes on the refusal of `admit`, typed", async () => {
      const listener = await world.listen(identityOf("worker"), () =>
        ({ refused: { code: "PERMISSION_DENIED", text: "not you" } }));
      await expect(world.dial(listener.address, identityOf("driver"), near))
        .rejects.toMatchObject({ code: "PERMISSION_DENIED", message: "not you" });
    });

    it("fails typed and in time where nobody listens", async () => {
      const nowhere = { memory: "memory:none", relay: "nobody@node-9", "link over grpc": "tcp:127.0.0.1:1" }[world.name] ??
        "unix:/nonexistent/s";
      await expect(world.dial(nowhere, identityOf("driver"), near, { timeoutMs: 2_000 })).rejects.toBeInstanceOf(ConnectionError);
      expect(near.closes).toEqual([]);
    });
  });
});

/** Whatever is under way has happened: no time, only turns of the loop. */
async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}
