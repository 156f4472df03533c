// Frames: valid protobuf, found again in any chopping of the stream, and hostile bytes end in WireError and nothing else.

import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { WireError } from "../../../proto/wire.ts";
import type { Carrier } from "../../../runtime/transport/carrier.ts";
import { FRAME_MAX, FrameWriter, PREFIX, readFrame, readHeader } from "../../../runtime/transport/frame.ts";
import { FrameChannel } from "../../../runtime/transport/frame-channel.ts";
import { FrameSplitter } from "../../../runtime/transport/frame-splitter.ts";
import type { Failure, MessageName } from "../../../runtime/transport/index.ts";
import { randomOf } from "../../seeded.ts";

const frameType = new protobuf.Root().loadSync(new URL("../../../proto/troupe.proto", import.meta.url).pathname)
  .lookupType("troupe.v1.Frame");

function frameOf(count: number, argsBytes = 20, header = false): Buffer {
  const writer = new FrameWriter();
  writer.start(header ? { epoch: 77, seq: 5, ack: 3 } : undefined);
  for (let task = 1; task <= count; task++) {
    writer.add("pushTask", { task, template: 3, lease: "0123456789abcdef", args: Buffer.alloc(argsBytes, task),
      chain: { depth: 2, actors: ["a", "b"] } }, 0);
    writer.add("taskDone", { task, results: [{ stored: { node: "n", size: 5 } },
      { failure: { code: "X", cause: { code: "Y" } } }] }, 0);
    writer.add("call", { id: task, createActor: { spec: { actor: "a", placement: { CPU: 10_000 } } } }, 0);
  }
  writer.finish();
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

const namesIn = (frame: Buffer): MessageName[] => {
  const names: MessageName[] = [];
  readFrame(frame, PREFIX, frame.length, true, { message: (name) => names.push(name) > 0 });
  return names;
};

describe("a frame", () => {
  it("is a valid protobuf Frame", () => {
    const bytes = frameOf(2, 20, true);
    expect(bytes.readUInt32LE(0)).toBe(bytes.length - PREFIX);
    const frame = frameType.toObject(frameType.decode(bytes.subarray(PREFIX)), { longs: Number, oneofs: true }) as {
      epoch: number; seq: number; ack: number; messages: { body: string; pushTask?: { task: number } }[];
    };
    expect([frame.epoch, frame.seq, frame.ack]).toEqual([77, 5, 3]);
    expect(frame.messages.map((message) => message.body)).toEqual(
      ["pushTask", "taskDone", "call", "pushTask", "taskDone", "call"]);
    expect(frame.messages[3].pushTask!.task).toBe(2);
    expect(readHeader(bytes, PREFIX, bytes.length)).toEqual({ epoch: 77, seq: 5, ack: 3 });
  });

  it("written by protobufjs is read the same", () => {
    const body = frameType.encode({ seq: 9, messages: [{ exit: { reason: "r" } }, { ping: { nonce: 4 } }] }).finish();
    expect(namesIn(Buffer.concat([Buffer.alloc(PREFIX), body]))).toEqual(["exit", "ping"]);
  });

  it("with a message that is not of the contract is refused", () => {
    const unknown = Buffer.from([0, 0, 0, 0, 34, 4, 0xfa, 0x3e, 1, 1]);
    expect(() => namesIn(unknown)).toThrow(WireError);
  });

  it("with anything after the body of a message is refused: it is no field of the frame", () => {
    const spare = Buffer.from([0, 0, 0, 0, 34, 6, 42, 2, 8, 4, 16, 9]);
    expect(() => namesIn(spare)).toThrow(WireError);
    expect(namesIn(Buffer.from([0, 0, 0, 0, 34, 4, 42, 2, 8, 4]))).toEqual(["ping"]);
  });

  it("ends its walk when the visitor says so", () => {
    let seen = 0;
    const frame = frameOf(5);
    readFrame(frame, PREFIX, frame.length, true, { message: () => ++seen < 4 });
    expect(seen).toBe(4);
  });
});

describe("the splitter", () => {
  it("finds the same frames however the stream is chopped", () => {
    const random = randomOf(3);
    const frames = Array.from({ length: 60 }, (_, i) => frameOf(i % 4, random.pick([0, 20, 500, 100_000])));
    const stream = Buffer.concat(frames);
    for (let round = 0; round < 30; round++) {
      const splitter = new FrameSplitter();
      const found: Buffer[] = [];
      const lent = Buffer.alloc(300_000);
      for (let at = 0; at < stream.length; ) {
        const size = Math.min(stream.length - at, 1 + random.below(random.pick([3, 50, 5_000, 300_000])));
        stream.copy(lent, 0, at, at + size);
        splitter.read(lent, size, () => FRAME_MAX, (bytes, start, end) =>
          found.push(Buffer.from(bytes.subarray(start, end))) > 0);
        at += size;
      }
      expect(found.length).toBe(frames.length);
      expect(found.every((body, i) => body.equals(frames[i].subarray(PREFIX)))).toBe(true);
    }
  });

  it("reports a frame beyond the bound before it gathers it", () => {
    const splitter = new FrameSplitter();
    const bytes = Buffer.from([0, 0, 0, 4, 1]);
    const read = (from: number, to: number): number =>
      splitter.read(bytes.subarray(from), to - from, () => FRAME_MAX, () => true);
    expect(read(0, 3)).toBe(0);
    expect(read(3, 5)).toBe(0);
    expect(new FrameSplitter().read(Buffer.from([1, 0, 0, 4]), 4, () => FRAME_MAX, () => true)).toBe(FRAME_MAX + 1);
  });
});

class DeafCarrier implements Carrier {
  receiver!: Carrier["receiver"];
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = 0;
  readonly pendingBytes = 0;
  destroyed: (Failure | undefined)[] = [];
  write(): boolean { return false; }
  flush(): void {}
  hold(): void {}
  end(): void {}
  destroy(failure: Failure | undefined): void { this.destroyed.push(failure); }
}

describe("hostile bytes", () => {
  it("50,000 mutated frames end in WireError or in messages, never in anything else", () => {
    const random = randomOf(11);
    const seeds = [frameOf(1), frameOf(3, 200), frameOf(1, 20, true)];
    let refused = 0;
    for (let round = 0; round < 50_000; round++) {
      const frame = Buffer.from(random.pick(seeds));
      for (let i = 1 + random.below(4); i > 0; i--) frame[PREFIX + random.below(frame.length - PREFIX)] = random.below(256);
      const end = random.below(4) === 0 ? PREFIX + random.below(frame.length - PREFIX) : frame.length;
      try {
        readFrame(frame, PREFIX, end, random.below(2) === 0, { message: () => true });
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(10_000);
  });

  it("close a channel with a typed failure, once", async () => {
    const random = randomOf(12);
    const closes: (Failure | undefined)[] = [];
    let channels = 0;
    for (let round = 0; round < 2_000; round++) {
      const frame = frameOf(1);
      frame[PREFIX + random.below(frame.length - PREFIX)] ^= 1 + random.below(255);
      const carrier = new DeafCarrier();
      const ignore = (): void => {};
      const peer = { kind: "worker", processId: "p", nodeId: "n", clusterId: "c", pid: 1, release: "",
        details: new Uint8Array(0) } as const;
      const channel = new FrameChannel(carrier, peer, {
        messages: { pushTask: ignore, taskDone: ignore, call: ignore }, onClose: (_channel, failure) => closes.push(failure),
      });
      carrier.receiver.frame(frame, PREFIX, frame.length, true);
      carrier.receiver.frame(frame, PREFIX, frame.length, true);
      if (channel.open) continue;
      channels++;
      expect(carrier.destroyed.length).toBe(1);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(closes.length).toBe(channels);
    expect(channels).toBeGreaterThan(100);
    expect(closes.every((failure) => ["CONNECTION", "TROUPE"].includes(failure!.code))).toBe(true);
  });
});
