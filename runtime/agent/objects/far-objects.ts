// Objects of a driver that shares no memory with its agent: allocated and written here for it, in chunks.

import { InvalidArgumentError, ObjectLostError } from "../../errors.ts";
import type { ObjectHandle, ObjectOwner, StoreClient, WritableObject } from "../../store/index.ts";
import type { AnswerBody, FreeObjects, WriteChunk } from "../../transport/index.ts";

const NO_BYTES = new Uint8Array(0);

export class FarObjects {
  readonly #client: StoreClient;
  readonly #driver: ObjectOwner;
  /** Not sealed yet. */
  readonly #unfinished = new Map<string, WritableObject>();

  /** `client`: this agent's own. */
  constructor(client: StoreClient, driver: ObjectOwner) {
    this.#client = client;
    this.#driver = driver;
  }

  async allocate({ bytes }: { readonly bytes: number }): Promise<AnswerBody> {
    const object = await this.#client.create(bytes);
    this.#unfinished.set(keyOf(object), object);
    return { object: { slot: object.slot, generation: object.generation, bytes } };
  }

  async write({ slot, generation, offset, bytes, last }: WriteChunk): Promise<AnswerBody> {
    const key = keyOf({ slot, generation });
    const object = this.#unfinished.get(key);
    if (object === undefined) throw new ObjectLostError(`object ${key} is not being written`);
    if (offset + bytes.length > object.size) {
      throw new InvalidArgumentError(`${bytes.length} bytes at ${offset} do not fit object ${key} of ${object.size} bytes`);
    }
    if (bytes.length > 0) await object.write(offset, bytes);
    if (last && this.#unfinished.delete(key)) object.seal(this.#driver);
    return { chunk: { bytes: NO_BYTES, total: object.size } };
  }

  /** Gives up those of `freed` that are being written; the others are for the store. */
  abort(freed: FreeObjects): FreeObjects {
    const rest = freed.slots.map((slot, index) => ({ slot, generation: freed.generations[index] })).filter((handle) => {
      const object = this.#unfinished.get(keyOf(handle));
      this.#unfinished.delete(keyOf(handle));
      object?.abort();
      return object === undefined;
    });
    return { ...freed, slots: rest.map(({ slot }) => slot), generations: rest.map(({ generation }) => generation) };
  }

  /** The driver is gone. What is sealed goes with its owner. */
  close(): void {
    for (const object of this.#unfinished.values()) object.abort();
    this.#unfinished.clear();
  }
}

function keyOf({ slot, generation }: ObjectHandle): string {
  return `${slot}/${generation}`;
}
