// Transfers between stores of one process over a network with faults: what arrives is right, once, or a typed error.

import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CHUNK_BYTES, type TransferNetwork } from "../../../runtime/agent/objects/incoming-object.ts";
import { ServedObjects } from "../../../runtime/agent/objects/served-objects.ts";
import { type Bringing, IN_FLIGHT_BYTES, Transfers } from "../../../runtime/agent/objects/transfers.ts";
import type { TransferKind } from "../../../runtime/core/index.ts";
import { ConnectionError, NodeDiedError, ObjectFetchTimeoutError, ObjectLostError } from "../../../runtime/errors.ts";
import type { ReadableObject, StoreClient } from "../../../runtime/store/index.ts";
import { systemClock } from "../../../runtime/system.ts";
import type {
  AnswerBody, CallContext, CallOptions, Channel, Chunk, CopySources, Draft, ReadChunk, Stored,
} from "../../../runtime/transport/index.ts";
import { makeWorld, type StoreWorld } from "../../conformance/fixtures/store-worlds.ts";

const STORE_BYTES = 96 * CHUNK_BYTES;
const NO_NEWS = { here: new Uint8Array(0), claimed: new Uint8Array(0) };
/** Patience passes sooner by so much. */
const HASTE = 20;

interface Asked {
  readonly from: string;
  readonly to: string;
  readonly body: Draft<ReadChunk>;
}

/** An agent's part in transfers, and what other nodes see of it. */
class Node {
  readonly id: string;
  readonly world: StoreWorld;
  readonly client: StoreClient;
  readonly transfers: Transfers;
  readonly served: ServedObjects;
  readonly copies = new Map<string, { slot: number; generation: number }>();

  constructor(id: string, network: TransferNetwork, memory: "local" | "shared", haste: number) {
    this.id = id;
    this.world = makeWorld(memory, STORE_BYTES);
    this.client = this.world.client(id).store;
    const clock = { ...systemClock, now: () => systemClock.now() * haste };
    this.transfers = new Transfers({ clock, client: this.client, capacity: STORE_BYTES, network });
    this.served = new ServedObjects({
      clock: systemClock, nodeId: id, client: this.client, spilling: undefined, counts: this.transfers.counts,
      isGone: (handle) => this.world.host.whereabouts(handle) === "gone",
    });
  }

  async put(bytes: Uint8Array): Promise<Stored> {
    const object = await this.client.create(bytes.length);
    await object.write(0, bytes);
    return { node: this.id, ...object.seal(), size: bytes.length, sum: 0 };
  }

  async bring(source: Stored, kind: TransferKind = "get"): Promise<Uint8Array> {
    const key = `${source.node}/${source.slot}/${source.generation}`;
    const shared: Bringing["shared"] = {
      key,
      whole: ({ stored, sums }) => {
        this.copies.set(key, stored);
        this.served.copied(stored, sums);
      },
    };
    const { stored } = await this.transfers.bring({ source, owner: undefined, kind, shared });
    const opened = this.client.open(stored) as ReadableObject;
    const bytes = new Uint8Array(opened.buffer()).slice();
    opened.release();
    return bytes;
  }

  read(body: ReadChunk, context: CallContext): AnswerBody | Promise<AnswerBody> {
    if (body.node === this.id) return this.served.read(body, body, context);
    const key = `${body.node}/${body.slot}/${body.generation}`;
    const copy = this.copies.get(key);
    if (copy !== undefined) return this.served.read(copy, body, context);
    const incoming = this.transfers.at(key);
    if (incoming === undefined) throw new ObjectLostError("it has no copy here");
    return incoming.serve(body, context);
  }
}

class Network {
  readonly nodes = new Map<string, Node>();
  readonly asked: Asked[] = [];
  readonly dead = new Set<string>();
  /** Called before an ask is answered: throws what breaks it, or gives other bytes than were read. */
  fault: (asked: Asked, bytes: Uint8Array) => Uint8Array | Promise<Uint8Array> = (_asked, bytes) => bytes;
  /** Called when half of a chunk is in its place, with what tells that the connection was broken on purpose. */
  halfway: (asked: Asked, broken: Promise<never>) => void | Promise<void> = () => {};
  /** Of the nodes that are added from now on. */
  haste = 1;
  readonly #isDirect: boolean;
  readonly #memory: "local" | "shared";

  constructor(isDirect: boolean, memory: "local" | "shared") {
    this.#isDirect = isDirect;
    this.#memory = memory;
  }

  add(id: string): Node {
    const node = new Node(id, {
      ask: (to, body) => this.#ask(id, to, body),
      askSmall: (to, body) => this.#ask(id, to, body),
      askBulk: (to, body, place) => (this.#isDirect ? this.#askDirectly(id, to, body, place) : this.#ask(id, to, body)),
      join: async ({ node: to, slot, generation }, failed): Promise<CopySources> => {
        const { copySources } = this.#reach(to).served.join({ slot, generation, failed: [...failed] }, id) as {
          copySources: { nodes: string[]; order: number };
        };
        return copySources;
      },
      leave: async ({ node: to, slot, generation }, sum) => {
        this.#reach(to).served.leave({ slot, generation, whole: sum !== undefined, sum: sum ?? 0 }, id);
      },
      deathOf: (to) => (this.dead.has(to) ? new NodeDiedError(`node ${to} was declared dead`, { nodeId: to }) : undefined),
    }, this.#memory, this.haste);
    this.nodes.set(id, node);
    return node;
  }

  /** A chunk comes to its place in two pieces. */
  async #askDirectly(from: string, to: string, draft: Draft<ReadChunk>, placeOf: CallOptions["place"]): Promise<Chunk> {
    const chunk = await this.#ask(from, to, draft);
    const { bytes } = chunk;
    let stop!: (error: Error) => void;
    const broken = new Promise<never>((_, reject) => (stop = reject));
    broken.catch(() => {});
    let isOpen = true;
    const end = () => {
      if (isOpen) place?.ended();
      isOpen = false;
    };
    const place = bytes.length === 0 ? undefined : placeOf?.(bytes.length, {
      break: ({ text }) => {
        end();
        stop(new ConnectionError(text));
      },
    } as Channel);
    if (place === undefined) return chunk;
    try {
      const half = bytes.length >> 1;
      place.bytes.set(bytes.subarray(0, half));
      await this.halfway(this.asked.findLast(({ body }) => body.offset === draft.offset) as Asked, broken);
      await Promise.race([broken, new Promise((resolve) => setTimeout(resolve, 1))]);
      this.#reach(to);
      place.bytes.set(bytes.subarray(half), half);
      return { ...chunk, bytes: place.bytes };
    } finally {
      end();
    }
  }

  async #ask(from: string, to: string, draft: Draft<ReadChunk>): Promise<Chunk> {
    const body = { slot: 0, generation: 0, offset: 0, length: 0, node: "", blob: "", ...NO_NEWS, ...draft };
    const asked = { from, to, body };
    this.asked.push(asked);
    await new Promise((resolve) => setTimeout(resolve, 1));
    const context: CallContext = { channel: { peer: { nodeId: from } } as Channel, origin: from, id: 1, attempt: 1 };
    const { chunk } = (await this.#reach(to).read(body, context)) as { chunk: Draft<Chunk> };
    const taken = (chunk.bytes ?? new Uint8Array(0)).slice();
    context.answered?.();
    const bytes = await this.fault(asked, taken);
    this.#reach(to);
    return { total: 0, sum: 0, ...NO_NEWS, whole: false, ...chunk, bytes };
  }

  #reach(to: string): Node {
    const node = this.nodes.get(to);
    if (node === undefined) throw new ConnectionError(`no connection to ${to}`);
    return node;
  }

  /** Chunks asked of a node. */
  countTo(to: string): number {
    return this.asked.filter((one) => one.to === to && (one.body.length ?? 0) > 0).length;
  }
}

function pattern(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 997) bytes[at] = (at >> 8) ^ at;
  return bytes;
}

const same = (one: Uint8Array, other: Uint8Array) => Buffer.compare(one, other) === 0;

let network: Network;
afterEach(() => {
  for (const { world } of network.nodes.values()) world.close();
});

const CARRIERS = [["within answers", false, "local"], ["to their places in shared memory", true, "shared"]] as const;

describe.each(CARRIERS)("copies of an object, whose chunks come %s", (_name, isDirect, memory) => {
  beforeEach(() => void (network = new Network(isDirect, memory)));

  it("goes on from what is here when the connection breaks, and asks for no chunk twice that came", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    const bytes = pattern(20 * CHUNK_BYTES + 5);
    const source = await origin.put(bytes);
    let breaks = 0;
    network.fault = ({ body }, read) => {
      if ((body.length ?? 0) > 0 && breaks < 3 && network.asked.length > 7 * (breaks + 1)) {
        breaks += 1;
        throw new ConnectionError("the connection broke");
      }
      return read;
    };
    expect(same(await reader.bring(source), bytes)).toBe(true);
    expect(breaks).toBe(3);
    // At most what was under way with each break.
    expect(network.countTo("origin")).toBeLessThanOrEqual(21 + 3 * 8);
    expect(reader.transfers.counts.copiedBytes).toBeGreaterThanOrEqual(bytes.length);
    await expect.poll(() => reader.transfers.inFlightBytes).toBe(0);
  });

  it("never delivers a damaged chunk: it is fetched again, and a small object too", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    for (const size of [1000, CHUNK_BYTES, 5 * CHUNK_BYTES]) {
      const bytes = pattern(size);
      const source = await origin.put(bytes);
      const before = reader.transfers.counts.damagedChunks;
      let damages = 2;
      network.fault = (_asked, read) => {
        if (damages > 0 && read.length > 0) {
          damages -= 1;
          read[read.length - 1] ^= 1;
        }
        return read;
      };
      expect(same(await reader.bring(source), bytes)).toBe(true);
      expect(reader.transfers.counts.damagedChunks).toBe(before + 2);
    }
  });

  it("an object that is damaged where it lies is lost, by name", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    network.fault = ({ body }, read) => (body.offset === CHUNK_BYTES ? read.map((byte) => byte ^ 255) : read);
    const large = reader.bring(await origin.put(pattern(3 * CHUNK_BYTES)));
    await expect(large).rejects.toThrow(/chunk 1 of object .* came damaged from node origin, which has made it, 5 times/);
    await expect(large).rejects.toBeInstanceOf(ObjectLostError);
    network.fault = (_asked, read) => read.map((byte) => byte ^ 255);
    await expect(reader.bring(await origin.put(pattern(100)))).rejects.toBeInstanceOf(ObjectLostError);
    await expect.poll(() => reader.transfers.inFlightBytes).toBe(0);
  });

  it("receivers serve each other while they receive: the origin sends little more than one copy", async () => {
    const origin = network.add("origin");
    const readers = Array.from({ length: 8 }, (_, index) => network.add(`r${index}`));
    const bytes = pattern(32 * CHUNK_BYTES);
    const source = await origin.put(bytes);
    const copies = await Promise.all(readers.map((reader) => reader.bring(source)));
    for (const copy of copies) expect(same(copy, bytes)).toBe(true);
    expect(network.countTo("origin")).toBeLessThan(2 * 32);
    for (const { transfers } of readers) expect(transfers.counts.copiedBytes).toBe(bytes.length);
  });

  it("relays and readers that die leave the others with every byte", async () => {
    network.haste = HASTE;
    const origin = network.add("origin");
    const readers = Array.from({ length: 8 }, (_, index) => network.add(`r${index}`));
    const bytes = pattern(40 * CHUNK_BYTES);
    const source = await origin.put(bytes);
    const copies = readers.map((reader) => reader.bring(source));
    const dying = [readers[0], readers[3]];
    for (const [index, node] of dying.entries()) {
      copies[readers.indexOf(node)].catch(() => {});
      while (network.asked.length < 60 * (index + 1)) await new Promise((resolve) => setTimeout(resolve, 1));
      network.nodes.delete(node.id);
      network.dead.add(node.id);
      origin.served.nodeDied(node.id);
    }
    for (const [index, copy] of copies.entries()) {
      if (!dying.includes(readers[index])) expect(same(await copy, bytes), `reader ${index}`).toBe(true);
    }
    for (const { world } of dying) world.close();
  });

  it("a relay whose memory is damaged is left", async () => {
    network.haste = HASTE;
    const origin = network.add("origin");
    const [relay, reader] = [network.add("relay"), network.add("reader")];
    const bytes = pattern(24 * CHUNK_BYTES);
    const source = await origin.put(bytes);
    network.fault = ({ to }, read) => (to === "relay" ? read.map((byte) => byte ^ 255) : read);
    const copies = await Promise.all([relay.bring(source), reader.bring(source)]);
    for (const copy of copies) expect(same(copy, bytes)).toBe(true);
    expect(reader.transfers.counts.damagedChunks).toBeGreaterThan(0);
  });

  it("when the origin dies, whole copies of others end what was begun; without any it is lost", async () => {
    network.haste = HASTE;
    const origin = network.add("origin");
    const [whole, reader] = [network.add("whole"), network.add("reader")];
    const bytes = pattern(30 * CHUNK_BYTES);
    const source = await origin.put(bytes);
    await whole.bring(source);
    const copy = reader.bring(source);
    while ((reader.transfers.at(`origin/${source.slot}/${source.generation}`)?.progress.bytes ?? 0) === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    network.nodes.delete("origin");
    network.dead.add("origin");
    expect(same(await copy, bytes)).toBe(true);
    const alone = network.add("alone").bring(source);
    await expect(alone).rejects.toBeInstanceOf(ObjectLostError);
    network.dead.delete("origin");
    await expect(network.add("patient").bring(source)).rejects.toBeInstanceOf(ObjectFetchTimeoutError);
    origin.world.close();
  });

  it("an object that is freed ends its transfer", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    const source = await origin.put(pattern(10 * CHUNK_BYTES));
    const copy = reader.bring(source);
    while (network.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    reader.transfers.freed(`origin/${source.slot}/${source.generation}`);
    await expect(copy).rejects.toThrow(/was freed while it was copied/);
    reader.world.host.sweep();
    expect(reader.world.host.stats().objects).toBe(0);
  });});

describe.each(["local", "shared"] as const)("chunks that come to their places in %s memory", (memory) => {
  beforeEach(() => void (network = new Network(true, memory)));

  it("goes on from what is here when chunks break off in their middle", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    const bytes = pattern(20 * CHUNK_BYTES + 5);
    const source = await origin.put(bytes);
    let breaks = 0;
    network.halfway = () => {
      if (breaks >= 3 || network.asked.length <= 7 * (breaks + 1)) return;
      breaks += 1;
      throw new ConnectionError("the connection broke");
    };
    expect(same(await reader.bring(source), bytes)).toBe(true);
    expect(breaks).toBe(3);
    expect(network.countTo("origin")).toBeLessThanOrEqual(21 + 3 * 8);
    await expect.poll(() => reader.transfers.inFlightBytes).toBe(0);
  });

  it("a chunk that stands still in its middle comes from another source, and the first writes nothing more", async () => {
    network.haste = HASTE;
    const origin = network.add("origin");
    const [whole, reader] = [network.add("whole"), network.add("reader")];
    const bytes = pattern(12 * CHUNK_BYTES);
    const source = await origin.put(bytes);
    await whole.bring(source);
    const stopped: unknown[] = [];
    network.halfway = async (_asked, broken) => {
      if (stopped.push(undefined) > 1) return;
      stopped[0] = await broken.catch((error: unknown) => error);
    };
    expect(same(await reader.bring(source), bytes)).toBe(true);
    expect(stopped[0]).toMatchObject({ message: expect.stringMatching(/^chunk \d+ has come from another source$/) });
    await expect.poll(() => reader.transfers.inFlightBytes).toBe(0);
  });

  it("freed in the middle of a chunk leaves its memory to nobody until the connection is done with it", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    const source = await origin.put(pattern(3 * CHUNK_BYTES));
    let goOn!: () => void;
    const standing = new Promise<void>((resolve) => (goOn = resolve));
    let begun = 0;
    network.halfway = () => {
      begun += 1;
      return standing;
    };
    const copy = reader.bring(source);
    await expect.poll(() => begun).toBe(3);
    reader.transfers.freed(`origin/${source.slot}/${source.generation}`);
    await expect(copy).rejects.toThrow(/was freed while it was copied/);
    reader.world.host.sweep();
    const taken = () => reader.world.host.stats().used;
    expect(taken()).toBeGreaterThanOrEqual(3 * CHUNK_BYTES);
    goOn();
    await expect.poll(() => {
      reader.world.host.sweep();
      return taken();
    }).toBe(0);
  });
});

describe("whose turn it is", () => {
  beforeEach(() => void (network = new Network(false, "local")));

  it("what is under way is bounded for the node, and a get overtakes arguments", async () => {
    const [origin, reader] = [network.add("origin"), network.add("reader")];
    const sizes = [12, 12, 12, 12].map((chunks) => chunks * CHUNK_BYTES);
    const sources = await Promise.all(sizes.map((size) => origin.put(pattern(size))));
    let most = 0;
    network.fault = (_asked, read) => {
      most = Math.max(most, reader.transfers.inFlightBytes);
      return read;
    };
    const order: string[] = [];
    const wanted = sources.map((source, index) => {
      const kind = index === 3 ? "get" : "argument";
      return reader.bring(source, kind).then(() => order.push(`${kind} ${index}`));
    });
    await Promise.all(wanted);
    expect(order.indexOf("get 3")).toBeLessThan(2);
    expect(most).toBeLessThanOrEqual(IN_FLIGHT_BYTES);
    await expect.poll(() => reader.transfers.inFlightBytes).toBe(0);
  });
});
