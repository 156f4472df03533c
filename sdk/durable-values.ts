// Values as bytes that outlive every process: plain data by itself, and with the code of functions and classes in it.

import { createHash } from "node:crypto";
import { InvalidArgumentError } from "../runtime/errors.ts";
import { createShipper } from "../runtime/closure/index.ts";
import { createCodec, type DecodeHooks, type EncodeHooks, type Encoded } from "../runtime/serialize/index.ts";

const codec = createCodec();
/** Of code that is kept with what names it: large data travels inside, refs and handles are refused. */
const shipper = createShipper();
const hashes = new WeakMap<Function, string>();

const refusals = (root: string): EncodeHooks & DecodeHooks => {
  const refuse = (what: string) => (): never => {
    throw new InvalidArgumentError(`${root}: a value can't hold ${what}: it outlives the process they belong to`);
  };
  return {
    ref: refuse("refs"),
    handle: refuse("handles of actors"),
    code: refuse("functions or instances of classes"),
  };
};

/** Plain data. @throws InvalidArgumentError for refs, handles, functions and instances of the user's classes. */
export function planValue(value: unknown, root: string): Encoded {
  return codec.encode(value, refusals(root), root);
}

export function encodeValue(value: unknown, root: string): Uint8Array {
  return planValue(value, root).toBytes();
}

/** Runs no code, whatever the bytes say. @throws SerializationError for bytes that are no value. */
export function decodeValue<T = unknown>(bytes: Uint8Array): T {
  return codec.decode(bytes, refusals("value")) as T;
}

/** A value with the code of all functions and classes in it. @throws CaptureError, InvalidArgumentError. */
export function encodeProgram(value: unknown, root: string): Uint8Array {
  const codes = new Map<string, Uint8Array>();
  const code = (fn: Function): Uint8Array => {
    const { id, bytes } = shipper.captureOnce(fn);
    hashes.set(fn, id);
    codes.set(id, bytes);
    return Buffer.from(id, "latin1");
  };
  const main = codec.encode(value, { ...refusals(root), code }, root).toBytes();
  return encodeValue({ main, codes }, root);
}

/** The value, with its functions ready to be called. */
export async function decodeProgram<T = unknown>(bytes: Uint8Array): Promise<T> {
  const { main, codes } = decodeValue<{ main: Uint8Array; codes: Map<string, Uint8Array> }>(bytes);
  const ready = new Map<string, Function>();
  await Promise.all([...codes].map(async ([id, text]) => ready.set(id, await shipper.revive(id, text))));
  const code = (id: Uint8Array): Function => {
    const fn = ready.get(Buffer.from(id).toString("latin1"));
    if (fn === undefined) throw new InvalidArgumentError("the program names code that is not in it");
    return fn;
  };
  return codec.decode(main, { ...refusals("program"), code }) as T;
}

/** How large any value is when it is encoded, and what tells it from others: the same bytes have the same hash everywhere. */
export function digestOf(value: unknown): { readonly size: number; readonly hash: string } {
  const named = (thing: object): Uint8Array => Buffer.from(String(thing));
  const code = (fn: Function): Uint8Array => Buffer.from(codeHash(fn));
  const encoded = codec.encode(value, { ref: named, handle: named, code }, "value");
  const hash = createHash("sha256");
  const isWhole = encoded.size <= HASHED_WHOLE_BYTES;
  for (const bytes of blockOf(encoded)) for (const part of isWhole ? [bytes] : samplesOf(bytes)) hash.update(part);
  const text = hash.digest("hex").slice(0, 32);
  return { size: encoded.size, hash: isWhole ? text : `${SAMPLED}${text}` };
}

/** The bytes of a block in order; what lies between its parts is zero. */
export function* blockOf(encoded: Encoded): Generator<Uint8Array> {
  let at = 0;
  for (const { offset, bytes } of encoded.parts()) {
    if (offset > at) yield new Uint8Array(offset - at);
    yield bytes;
    at = offset + bytes.length;
  }
  if (at < encoded.size) yield new Uint8Array(encoded.size - at);
}

/** Of larger ones only samples are hashed: a result of a GiB is not to wait for a second until it is told. */
const HASHED_WHOLE_BYTES = 64 * 1024 * 1024;
const SAMPLED = "~";
const SAMPLE_BYTES = 4096;
const SAMPLES = 1024;

function* samplesOf(bytes: Uint8Array): Iterable<Uint8Array> {
  if (bytes.length <= SAMPLES * SAMPLE_BYTES) return yield bytes;
  yield Buffer.from(`${bytes.length};`);
  const step = Math.floor((bytes.length - SAMPLE_BYTES) / (SAMPLES - 1));
  for (let i = 0; i < SAMPLES; i += 1) yield bytes.subarray(i * step, i * step + SAMPLE_BYTES);
}

/** The same for the same code with the same captured values, in every process. */
export function codeHash(fn: Function): string {
  let hash = hashes.get(fn);
  if (hash === undefined) hashes.set(fn, (hash = shipper.captureOnce(fn).id));
  return hash;
}
