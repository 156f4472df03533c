// The codec: encoders and the scratch memory they write to, reused from value to value.

import { Buffer, constants } from "node:buffer";
import { InvalidArgumentError, TroupeError } from "../errors.ts";
import { finish } from "./buffer-plan.ts";
import type { DecodeHooks, EncodeHooks, Encoded, ValueCodec } from "./contract.ts";
import { decodeBlock } from "./decoder.ts";
import { Encoder } from "./encoder.ts";
import { LARGE_HEADER_BYTES, MAGIC, PLAIN_BLOCK, SMALL_HEADER_BYTES, VIEW_BYTES } from "./format.ts";
import { type BlockSource, bufferPlace, headBytes } from "./large-block.ts";
import { Refusal, messageOf, serializationError } from "./refusal.ts";

const SCRATCH_BYTES = 64 * 1024;

/** Not shared between threads. Getters and serializers of a value being encoded may encode others. */
export function createCodec(): ValueCodec {
  return new Codec();
}

class Codec implements ValueCodec {
  /** One in the pool, unless encodings are nested. */
  readonly #idle: Encoder[] = [];
  #scratch: Buffer | undefined = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

  encode(value: unknown, hooks: EncodeHooks, root = "value"): Encoded {
    const encoder = this.#idle.pop() ?? new Encoder();
    const scratch = this.#scratch ?? Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    this.#scratch = undefined;
    encoder.hooks = hooks;
    encoder.allowBuffers = true;
    encoder.out.grow(scratch, LARGE_HEADER_BYTES);
    try {
      encoder.root(value);
      const { bytes, at } = encoder.out;
      const structure = bytes === scratch ? Buffer.from(bytes.subarray(0, at)) : bytes;
      return finish(structure, at, encoder.buffers.entries);
    } catch (error) {
      throw outward(error, value, root);
    } finally {
      encoder.out.grow(scratch, 0);
      encoder.clear();
      this.#scratch = scratch;
      this.#idle.push(encoder);
    }
  }

  encodeSmall(value: unknown, target: Uint8Array, offset: number, hooks: EncodeHooks, isOwn = false): number {
    if (target.length - offset < SMALL_HEADER_BYTES) return -1;
    const encoder = this.#idle.pop() ?? new Encoder();
    encoder.hooks = hooks;
    encoder.allowBuffers = false;
    const { out } = encoder;
    out.aim(target, offset);
    try {
      out.byte(MAGIC);
      out.byte(PLAIN_BLOCK);
      encoder.root(value, isOwn);
      return out.at;
    } catch (error) {
      // Whatever it is, `encode` finds it again and has the name of the root for its path.
      if (error instanceof TroupeError) throw error;
      return -1;
    } finally {
      encoder.clear();
      this.#idle.push(encoder);
    }
  }

  decode(block: Uint8Array, hooks: DecodeHooks): unknown {
    return decodeBlock(block, hooks);
  }

  decodeParts(source: BlockSource, hooks: DecodeHooks): unknown {
    const first = new Uint8Array(source.part(0, Math.min(LARGE_HEADER_BYTES, source.size)));
    const head = new Uint8Array(source.part(0, headBytes(first)));
    // Before its bytes are looked at: Node 20 would copy them.
    const { elements = 0 } = bufferPlace(head) ?? {};
    if (elements <= constants.MAX_LENGTH) return decodeBlock(head, hooks, source);
    const what = `an array of ${elements} elements is longer than this release of Node.js allows`;
    throw new InvalidArgumentError(`${what}: read parts of it with getRange(ref, offset, length)`);
  }
}

/** False when nothing of the decoded value can be a view of the block. */
export function mayBeViewed(block: Uint8Array): boolean {
  return block[1] !== PLAIN_BLOCK && block.length > VIEW_BYTES;
}

/** Refusals get their path; Troupe's own errors pass; what a getter threw is named as such. */
function outward(error: unknown, value: unknown, root: string): unknown {
  if (error instanceof Refusal) return serializationError(error, value, root);
  if (error instanceof TroupeError) return error;
  return serializationError(new Refusal(value, "cannot be read", messageOf(error), "", error), value, root);
}
