// Direct connections: bytes beside answers come to the places they are given, and strangers at the port get nowhere.

import net from "node:net";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { native } from "../../native/index.ts";
import { AuthenticationError, ConnectionError, errorOf } from "../../runtime/errors.ts";
import {
  Callee, Caller, type Channel, type ChannelHandler, type Listener, type Place, systemTransport,
} from "../../runtime/transport/index.ts";
import { FrameWriter } from "../../runtime/transport/frame.ts";
import { systemClock } from "../../runtime/system.ts";
import { identityOf, Recorder, TcpProxy, TOKEN } from "./fixtures/channel-worlds.ts";

const MIB = 1024 * 1024;
const DIAL = { timeoutMs: 5_000, direct: true };
const CALL = { timeoutMs: 5_000 };

/** What carries large bytes: threads of the addon, or the loop. */
const CARRIED = native?.openPorter === undefined ? ["loop"] as const : ["threads", "loop"] as const;
const transports = { threads: systemTransport({ mode: "auto" }), loop: systemTransport({ mode: "auto", porters: undefined }) };
let transport = transports.threads;
const closers: { close(): unknown }[] = [];
afterEach(async () => {
  for (const closer of closers.splice(0).reverse()) await closer.close();
});
function closing<T extends { close(): unknown }>(closer: T): T {
  closers.push(closer);
  return closer;
}

const source = Buffer.alloc(8 * MIB, "0123456789abcdef, and so on; ");

/** Serves parts of `source` from where they lie. */
class Server {
  lefts = 0;
  asked = 0;
  channel: Channel | undefined;
  readonly closes: unknown[] = [];
  readonly #callee = new Callee({
    readChunk: ({ offset, length }, context) => {
      this.asked += 1;
      this.channel = context.channel;
      context.answered = () => void (this.lefts += 1);
      return { chunk: { bytes: source.subarray(offset, offset + length), total: source.length } };
    },
  });
  readonly handler: ChannelHandler = {
    messages: { call: (call, channel) => this.#callee.called(call, channel), goodbye: () => {} },
    onClose: (_channel, failure) => this.closes.push(failure),
  };

  listen(direct = true): Promise<Listener> {
    return transport.listen("tcp:127.0.0.1:0", identityOf("agent"), () => ({ handler: this.handler, direct })).then(closing);
  }
}

class Client {
  readonly caller = new Caller(systemClock);
  readonly goodbyes: string[] = [];
  readonly closes: unknown[] = [];
  channel!: Channel;

  async dial(address: string, overGrpc = false): Promise<this> {
    const handler: ChannelHandler = {
      messages: {
        answer: (answer) => this.caller.answered(answer), goodbye: ({ reason }) => void this.goodbyes.push(reason),
      },
      place: (answer, length, channel) => this.caller.placeOf(answer, length, channel),
      onClose: (channel, failure) => {
        this.closes.push(failure);
        this.caller.closed(channel, failure);
      },
    };
    const dialling = overGrpc ? systemTransport({ mode: "grpc" }) : transport;
    this.channel = closing(await dialling.dial(address, identityOf("agent", { processId: "asker" }), handler, DIAL));
    return this;
  }

  read(offset: number, length: number, place?: (length: number) => Place | undefined) {
    return this.caller.call(this.channel, "readChunk", { offset, length }, "chunk", { ...CALL, place });
  }
}

/** A place that counts its ends. */
function placeOf(bytes: Uint8Array) {
  const place = {
    bytes, ends: 0, sum: undefined as number | undefined,
    summed: (sum: number) => void (place.sum = sum), ended: () => void (place.ends += 1),
  };
  return place;
}

describe.each(CARRIED)("a direct connection carried by %s", (carrier) => {
  beforeEach(() => void (transport = transports[carrier]));

  it("brings bytes to their place, others into memory of their own, small ones within the answer", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const place = placeOf(new Uint8Array(MIB));
    const placed = await client.read(MIB, MIB, () => place);
    expect(placed.bytes).toBe(place.bytes);
    expect(Buffer.from(placed.bytes).equals(source.subarray(MIB, 2 * MIB))).toBe(true);
    expect(place.ends).toBe(1);
    expect(place.sum).toBe(carrier === "loop" ? undefined : crc32(source.subarray(MIB, 2 * MIB)));
    const loose = await client.read(3, 2 * MIB, () => undefined);
    expect(Buffer.from(loose.bytes).equals(source.subarray(3, 3 + 2 * MIB))).toBe(true);
    let asked = 0;
    const small = await client.read(5, 100, () => void (asked += 1) as undefined);
    expect([Buffer.from(small.bytes).equals(source.subarray(5, 105)), asked]).toEqual([true, 0]);
    await expect.poll(() => server.lefts).toBe(3);
  });

  it("keeps many chunks apart", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const target = new Uint8Array(source.length);
    const length = 256 * 1024;
    const offsets = Array.from({ length: source.length / length }, (_, index) => index * length);
    const chunks = await Promise.all(offsets.map((offset) => (
      client.read(offset, length, () => placeOf(target.subarray(offset, offset + length)))
    )));
    expect(chunks.every(({ total }) => total === source.length)).toBe(true);
    expect(source.equals(target)).toBe(true);
    await expect.poll(() => server.lefts).toBe(offsets.length);
  });

  it("cut in the middle of a chunk fails what is asked, and leaves the place alone from then on", async () => {
    const server = new Server();
    const proxy = closing(await TcpProxy.start((await server.listen()).address));
    const client = await new Client().dial(proxy.address);
    const place = placeOf(new Uint8Array(8 * MIB));
    const reading = client.read(0, 8 * MIB, () => {
      setImmediate(() => proxy.cut());
      return place;
    });
    await expect(reading).rejects.toBeInstanceOf(ConnectionError);
    expect(place.ends).toBe(1);
    await expect.poll(() => [server.closes.length, server.lefts]).toEqual([1, 1]);
  });

  it("broken while a chunk is coming ends its place in the same turn", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const place = placeOf(new Uint8Array(8 * MIB));
    let ends = -1;
    const reading = client.read(0, 8 * MIB, () => {
      setImmediate(() => {
        client.channel.break({ code: "CONNECTION", text: "enough" });
        ends = place.ends;
      });
      return place;
    });
    await expect(reading).rejects.toThrow("enough");
    expect([ends, place.ends]).toEqual([1, 1]);
    await expect.poll(() => [server.closes.length, server.lefts]).toEqual([1, 1]);
  });

  it("brings chunks of every size among one another, in their order and whole", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const sizes = [1, 20_000, 262_143, 270_400, 300_000, MIB, 3 * MIB + 17];
    const lengths = Array.from({ length: 120 }, (_, index) => sizes[index % sizes.length]);
    const answers: number[] = [];
    const chunks = await Promise.all(lengths.map((length, index) => (
      client.read(index, length).finally(() => void answers.push(index))
    )));
    expect(chunks.map(({ bytes }, index) => source.subarray(index, index + lengths[index]).equals(bytes))).not.toContain(false);
    expect(answers).toEqual(answers.map((_, index) => index));
    await expect.poll(() => server.lefts).toBe(lengths.length);
  });

  it("says goodbye behind what it sends", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const reading = client.read(0, 8 * MIB, () => void server.channel?.close("it was enough") as undefined);
    expect(source.equals((await reading).bytes)).toBe(true);
    await expect.poll(() => client.goodbyes).toEqual(["it was enough"]);
    await expect.poll(() => [server.closes.length, server.lefts]).toEqual([1, 1]);
  });

  it("ended by who asks while chunks come lets go of everything", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address);
    const places = [0, 1, 2].map(() => placeOf(new Uint8Array(8 * MIB)));
    const reading = Promise.allSettled(places.map((place, index) => client.read(0, 8 * MIB, () => {
      if (index === 1) client.channel.close("enough");
      return place;
    })));
    expect((await reading).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await expect.poll(() => [server.closes.length, server.lefts]).toEqual([1, 3]);
    await expect.poll(() => places.map(({ ends }) => ends)).toEqual([1, 1, 0]);
  });

  it("is a link of gRPC when everything is", async () => {
    const server = new Server();
    const client = await new Client().dial((await server.listen()).address, true);
    let asked = 0;
    const { bytes } = await client.read(0, MIB, () => void (asked += 1) as undefined);
    expect([Buffer.from(bytes).equals(source.subarray(0, MIB)), asked]).toEqual([true, 0]);
  });
});

describe("who dials directly", () => {
  it.each(["", "f".repeat(32), `${TOKEN}x`])("and has not the token is refused (%j)", async (token) => {
    const { address } = await new Server().listen();
    const dialling = transport.dial(address, identityOf("agent", { token }), new Recorder({}), DIAL);
    await expect(dialling).rejects.toBeInstanceOf(AuthenticationError);
  });

  it("for what is not served so is refused", async () => {
    const { address } = await new Server().listen(false);
    const dialling = transport.dial(address, identityOf("driver"), new Recorder({}), DIAL);
    await expect(dialling).rejects.toThrow("a driver takes no direct connection");
  });
});

describe("a stranger at the port", () => {
  const DIRECT = Buffer.of(1);

  function framed(bytes: Buffer, beside = 0): Buffer {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(beside, 0);
    return Buffer.concat([head, bytes]);
  }
  function frameOf(...message: Parameters<FrameWriter["add"]>): Buffer {
    const writer = new FrameWriter();
    writer.start();
    writer.add(...message);
    writer.finish();
    return Buffer.from(writer.bytes.subarray(0, writer.length));
  }
  const hello = (token: string): Buffer =>
    frameOf("hello", { protocolVersion: 1, release: "0.1.0", kind: 2, processId: "raw", pid: 1, token }, 0);
  const tooLong = Buffer.alloc(4);
  tooLong.writeUInt32LE(300 * 1024);

  /** Resolves with what came back when the listener has hung up. */
  function says(listener: Listener, ...parts: Buffer[]): Promise<Buffer> {
    return new Promise((resolve) => {
      const socket = net.connect(Number(listener.address.split(":").at(-1)), "127.0.0.1");
      const got: Buffer[] = [];
      socket.on("data", (bytes) => got.push(bytes)).on("error", () => {}).on("close", () => resolve(Buffer.concat(got)));
      for (const part of parts) socket.write(part);
    });
  }

  it.each([
    ["garbage", [Buffer.from("GET / HTTP/1.1\r\n\r\n")]],
    ["a TLS hello", [Buffer.from("160301020001000", "hex")]],
    ["garbage behind the first byte", [DIRECT, Buffer.alloc(64, 0xee)]],
    ["a frame beyond what a hello may have", [DIRECT, framed(tooLong)]],
    ["bytes beside a hello", [DIRECT, framed(hello(TOKEN), 1000), Buffer.alloc(1000)]],
    ["a call before the hello", [DIRECT, framed(frameOf("call", { id: 1, readChunk: { length: 10 } }, 0))]],
  ])("with %s is hung up on, and asks nothing", async (_name, parts) => {
    const server = new Server();
    const listener = await server.listen();
    await says(listener, ...parts);
    expect([server.asked, server.closes]).toEqual([0, []]);
    // Others come in as before.
    const client = await new Client().dial(listener.address);
    expect((await client.read(0, 10)).bytes).toHaveLength(10);
  });

  it("with bytes beside a call is hung up on behind the hello too", async () => {
    const server = new Server();
    const call = framed(frameOf("call", { id: 1, readChunk: { length: 10 } }, 0), 1000);
    await says(await server.listen(), DIRECT, framed(hello(TOKEN)), call);
    expect([server.asked, server.closes.length]).toEqual([0, 1]);
    expect(errorOf(server.closes[0] as never).message).toContain("nobody here takes 1000 bytes");
  });

  it.each([["nothing", []], ["one byte", [DIRECT]], ["half a hello", [DIRECT, framed(hello(TOKEN)).subarray(0, 20)]]])(
    "that says %s is hung up on in time", async (_name, parts) => {
      const timers: (() => void)[] = [];
      const clock = {
        ...systemClock,
        after: (...[ms, callback, ...rest]: Parameters<typeof systemClock.after>) => {
          if (ms === 10_000) timers.push(callback);
          return systemClock.after(ms, callback, ...rest);
        },
      };
      const handler = new Recorder({});
      const listener = closing(await systemTransport({ clock, mode: "auto" })
        .listen("tcp:127.0.0.1:0", identityOf("agent"), () => ({ handler, direct: true })));
      const ended = says(listener, ...parts);
      // A direct connection has two such bounds, one after the other: to its first byte, and to a hello.
      await expect.poll(() => timers.length).toBe(parts.length === 0 ? 1 : 2);
      timers.at(-1)?.();
      await ended;
      expect(handler.closes).toEqual([]);
    },
  );
});
