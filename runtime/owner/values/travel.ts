// Refs and handles inside values: the bytes that stand for them, and what becomes of them in another process.
//
// A ref says who owns the object and where, and carries the value itself when it is known and small, or its place in a store, so
// that nothing resolved ever needs its owner's loop to be read.

import type { ShipperHooks } from "../../closure/index.ts";
import { fromBytes, toBytes, Value, type Draft } from "../../transport/index.ts";
import type { ActorClients } from "../actors/actor-client.ts";
import {
  coreOf, factsOf, handleOf, HandleCore, type HandleFacts, type HandleSession, optionsOf,
} from "../actors/actor-handle.ts";
import type { Borrowing } from "../objects/borrowing.ts";
import { entryOf, ObjectEntry, ObjectRef } from "../objects/object-ref.ts";
import { isStream, ObjectRefStream, type StreamSession } from "../streams/object-ref-stream.ts";
import type { DecodeGroup, TravelHooks } from "./values.ts";
import { isError, type WireValue } from "./wire-value.ts";

/** A known value up to this size travels with its ref. */
export const REF_HINT_MAX_BYTES = 4096;

const HEADER_BYTES = 24;
const NODE_BYTES = 16;

/** 16 hex digits of owner, node, and a 48-bit number: 8 + 8 + 8 bytes, then the hint. */
function writeIdentity(entry: ObjectEntry, hint: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + hint.length);
  bytes.write(entry.owner, 0, 8, "hex");
  bytes.write(entry.ownerNode.padEnd(NODE_BYTES, "0"), 8, 8, "hex");
  bytes.writeUIntLE(entry.number, 16, 6);
  bytes.writeUInt16LE(0, 22);
  bytes.set(hint, HEADER_BYTES);
  return bytes;
}

function readIdentity(bytes: Uint8Array): { owner: string; ownerNode: string; number: number; hint: Uint8Array } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    owner: buffer.toString("hex", 0, 8),
    ownerNode: buffer.toString("hex", 8, 16),
    number: buffer.readUIntLE(16, 6),
    hint: bytes.subarray(HEADER_BYTES),
  };
}

const NO_HINT = new Uint8Array(0);
/** In place of what is told about an actor. */
const STREAM = Buffer.from("null");

function hintOf(value: WireValue | undefined): Uint8Array {
  if (value === undefined || isError(value) || (value.codes?.length ?? 0) > 0 || (value.contained?.length ?? 0) > 0)
    return NO_HINT;
  if (value.value && value.value.length > REF_HINT_MAX_BYTES) return NO_HINT;
  return toBytes(Value, value as Draft<Value>);
}

export function travelHooks(borrowing: Borrowing, clients: ActorClients, session: HandleSession & StreamSession): TravelHooks {
  return {
    encodeRef(ref: ObjectRef): Uint8Array {
      entryOf(ref);
      const entry = borrowing.share(ref);
      return writeIdentity(entry, entry.contained === undefined ? hintOf(entry.value) : NO_HINT);
    },
    decodeRef(bytes: Uint8Array, group: DecodeGroup): object {
      const { owner, ownerNode, number, hint } = readIdentity(bytes);
      const entry = borrowing.received(owner, ownerNode, number);
      if (hint.length > 0 && entry.state === "pending") borrowing.settle(entry, fromBytes(Value, hint));
      const ref = new ObjectRef(entry);
      group.entries.push(entry);
      group.refs.push(ref);
      return ref;
    },
    encodeHandle(handle: object): Uint8Array {
      if (isStream(handle)) return writeIdentity(entryOf(handle), STREAM);
      const core = coreOf(handle);
      const about = {
        actor: core.client.id,
        className: core.client.className,
        ...factsOf(core.methods, core.options),
      };
      const text = Buffer.from(JSON.stringify(about));
      return core.entry === undefined ? Buffer.concat([Buffer.alloc(HEADER_BYTES), text]) : writeIdentity(core.entry, text);
    },
    decodeHandle(bytes: Uint8Array, group: DecodeGroup): object {
      const { owner, ownerNode, number, hint } = readIdentity(bytes);
      const about = JSON.parse(Buffer.from(hint).toString()) as HandleAbout | null;
      const entry = number === 0 ? undefined : borrowing.received(owner, ownerNode, number);
      if (about === null) {
        const stream = new ObjectRefStream(session, entry as ObjectEntry);
        group.entries.push(entry);
        group.refs.push(stream);
        return stream;
      }
      const options = optionsOf(about);
      const client = clients.known(about.actor, about.className, options);
      const core = new HandleCore(session, client, entry, new Set(about.methods), options);
      if (entry !== undefined) {
        group.entries.push(entry);
        group.refs.push(core as never);
      }
      return handleOf(core);
    },
    entryOfHandle: (handle) => (isStream(handle) ? handle.entry : coreOf(handle).entry),
  };
}

interface HandleAbout extends HandleFacts {
  readonly actor: string;
  readonly className: string;
}

/**
 * How refs and handles inside captured code travel. They are held while this process lives: the code may be sent at any time.
 */
export function captureHooks(travel: TravelHooks, borrowing: Borrowing): Pick<ShipperHooks, "ref" | "handle"> {
  const held = (entry: ObjectEntry | undefined, bytes: Uint8Array): Uint8Array => {
    if (entry !== undefined) borrowing.addLocal(entry);
    return bytes;
  };
  const grouped = (decode: (group: DecodeGroup) => object): object => {
    const group: DecodeGroup = { entries: [], refs: [] };
    const value = decode(group);
    if (group.entries.length > 0) borrowing.groupHandles(group.entries, group.refs);
    return value;
  };
  return {
    ref: {
      encode: (ref) => held((ref as ObjectRef).entry, travel.encodeRef(ref as ObjectRef)),
      decode: (bytes) => grouped((group) => travel.decodeRef(bytes, group)),
      identity: (ref) => writeIdentity((ref as ObjectRef).entry, NO_HINT),
    },
    handle: {
      encode: (handle) => held(travel.entryOfHandle(handle), travel.encodeHandle(handle)),
      decode: (bytes) => grouped((group) => travel.decodeHandle(bytes, group)),
      identity: (handle) => travel.encodeHandle(handle),
    },
  };
}
