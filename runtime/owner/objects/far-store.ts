// The store of its home agent for a driver that shares no memory with it: objects are written and read in chunks.

import { ConnectionError } from "../../errors.ts";
import type { AnswerName, AnswerOf, Caller, CallName, CallOf, Channel, Draft, Stored } from "../../transport/index.ts";

const CHUNK_BYTES = 1024 * 1024;
/** Chunks of one object under way at once. */
const CHUNK_WINDOW = 8;
const CALL_TIMEOUT_MS = 30_000;
const NO_BYTES = new Uint8Array(0);

interface Part {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export class FarStore {
  readonly #caller: Caller;
  readonly #agent: Channel;

  constructor(caller: Caller, agent: Channel) {
    this.#caller = caller;
    this.#agent = agent;
  }

  /** The parts must not change until it resolves. */
  async write(size: number, parts: Iterable<Part>): Promise<Stored> {
    const { slot, generation } = await this.#ask("allocateObject", { bytes: size, waitMs: 0 }, "object");
    const place = { slot, generation };
    try {
      const write = (part: Part) => this.#ask("writeChunk", { ...place, ...part, total: size }, "chunk");
      await windowed(chunksOf(parts), write);
      await this.#ask("writeChunk", { ...place, offset: size, bytes: NO_BYTES, total: size, last: true }, "chunk");
    } catch (error) {
      this.#agent.send("freeObjects", { node: this.#node, slots: [slot], generations: [generation] });
      throw error;
    }
    return { node: this.#node, ...place, size, sum: 0 };
  }

  /** Of an object of any node. */
  read(source: Stored): Promise<Uint8Array> {
    return this.readRange(source, 0, source.size);
  }

  async readRange({ node, slot, generation }: Stored, start: number, size: number): Promise<Uint8Array> {
    const whole = Buffer.allocUnsafeSlow(size);
    await windowed(rangesOf(size), async ({ offset, length }) => {
      const body = { slot, generation, offset: start + offset, length, node };
      const { bytes } = await this.#ask("readChunk", body, "chunk");
      if (bytes.length !== length) throw new ConnectionError(`node ${node} sent ${bytes.length} of ${length} bytes`);
      whole.set(bytes, offset);
    });
    return whole;
  }

  get #node(): string {
    return this.#agent.peer.nodeId;
  }

  #ask<N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A): Promise<AnswerOf<A>> {
    return this.#caller.call(this.#agent, name, body, expected, { timeoutMs: CALL_TIMEOUT_MS });
  }
}

function* chunksOf(parts: Iterable<Part>): Generator<Part> {
  for (const { offset, bytes } of parts) {
    for (const { offset: within, length } of rangesOf(bytes.length)) {
      yield { offset: offset + within, bytes: bytes.subarray(within, within + length) };
    }
  }
}

function* rangesOf(size: number): Generator<{ offset: number; length: number }> {
  for (let offset = 0; offset < size; offset += CHUNK_BYTES) yield { offset, length: Math.min(CHUNK_BYTES, size - offset) };
}

/** Does all of it, so many at a time. A failure ends the generator, and so keeps the others from beginning anything more. */
async function windowed<T>(items: Generator<T>, act: (item: T) => Promise<unknown>): Promise<void> {
  const worker = async () => {
    for (const item of items) await act(item);
  };
  await Promise.all(Array.from({ length: CHUNK_WINDOW }, worker));
}
