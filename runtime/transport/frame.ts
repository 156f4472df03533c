// Frames: how batches of messages become bytes and bytes become calls of handlers, without objects in between.
//
//   u32 little endian: length of the frame      (the socket's framing; other carriers pass on what follows it)
//   1: epoch  2: seq  3: ack                    (varints, only on resumable links, always first)
//   4: length { field of Message.body: length { body } }      once a message
//
// The result is a valid protobuf `Frame`. A FrameWriter belongs to one channel and keeps one growing buffer.

import { failureOf, ConnectionError, TroupeError } from "../errors.ts";
import { type Codec, Reader, WireError, wireErrorOf, Writer } from "../../proto/wire.ts";
import { type Failure, MESSAGE_TABLE, type MessageEntry, type MessageName, type MessageOf, type SendOf } from "./messages.ts";

/** Length of the socket's framing. */
export const PREFIX = 4;
/** Longest frame: above the largest chunk of an object, far below what could exhaust a process. */
export const FRAME_MAX = 64 * 1024 * 1024;
/** Longest message: it may join a batch that is not yet full. */
const MESSAGE_MAX = FRAME_MAX - 64 * 1024;
/** Before the hello is accepted nobody needs more. */
export const HELLO_FRAME_MAX = 256 * 1024;
const BUFFER_START = 4 * 1024;
/** A buffer that grew beyond this for one large message is given back. */
const BUFFER_KEPT = 1024 * 1024;

const TAG_EPOCH = 8;
const TAG_SEQ = 16;
const TAG_ACK = 24;
const TAG_MESSAGE = 34;

interface Row {
  readonly name: MessageName;
  readonly tag: number;
  readonly codec: Codec<MessageOf<MessageName>>;
}
const ROWS = new Map<number, Row>();
const BY_TAG: (Row | undefined)[] = [];
for (const [name, { field, codec }] of Object.entries(MESSAGE_TABLE) as [MessageName, MessageEntry<MessageName>][]) {
  const row: Row = { name, tag: (field << 3) | 2, codec: codec as Row["codec"] };
  BY_TAG[row.tag] = row;
  ROWS.set(field, row);
}
const BY_NAME = new Map([...ROWS.values()].map((row) => [row.name, row]));

/** What a resumable link says about a frame. All 0 elsewhere. */
export interface FrameHeader {
  readonly epoch: number;
  readonly seq: number;
  readonly ack: number;
}

/** Collects messages into one frame after the other. */
export class FrameWriter {
  #writer = new Writer(BUFFER_START);
  #messagesFrom = 0;

  /** The frame being written, from offset 0 to `length`, its prefix included. Valid until the next `add` or `start`. */
  get bytes(): Buffer {
    return this.#writer.buf;
  }
  /** 0 when no frame has been started. */
  get length(): number {
    return this.#writer.pos;
  }

  /** True when the frame has no message yet. */
  get empty(): boolean {
    return this.#writer.pos === this.#messagesFrom;
  }

  /** Begins a frame. */
  start(header?: FrameHeader): void {
    const writer = this.#writer;
    // Room for its length, which is written when it is finished.
    writer.pos = PREFIX;
    if (header !== undefined) {
      writer.uint32(TAG_EPOCH).uint64(header.epoch);
      writer.uint32(TAG_SEQ).uint64(header.seq);
      writer.uint32(TAG_ACK).uint64(header.ack);
    }
    this.#messagesFrom = writer.pos;
  }

  /** Adds a message; throws and leaves the frame as it was when the body cannot be encoded or is too long. */
  add<N extends MessageName>(name: N, body: SendOf<N>, overhead: number): void {
    const writer = this.#writer;
    const before = writer.pos;
    const { tag, codec } = BY_NAME.get(name) as Row;
    try {
      writer.uint32(TAG_MESSAGE).fork().uint32(tag).fork();
      codec.encode(body as never, writer);
      writer.ldelim().ldelim();
      const length = writer.pos - before;
      const most = MESSAGE_MAX - overhead;
      if (length > most) throw new RangeError(`it takes ${length} bytes, and ${most} are allowed`);
    } catch (error) {
      writer.rewind(before);
      throw error;
    }
  }

  /** Completes the frame: its prefix is written. */
  finish(): void {
    this.bytes.writeUInt32LE(this.#writer.pos - PREFIX, 0);
  }

  /** After the frame was passed on. `taken`: whoever got the bytes keeps them, so a new buffer is needed. */
  clear(taken: boolean): void {
    if (taken || this.bytes.length > BUFFER_KEPT) this.#writer = new Writer(BUFFER_START);
    else this.#writer.rewind(0);
  }
}

/** Reads what stands before the first message. Throws WireError on malformed bytes. */
export function readHeader(bytes: Buffer, start: number, end: number): FrameHeader {
  const header = { epoch: 0, seq: 0, ack: 0 };
  headerReader.open(bytes, start, end, false);
  try {
    while (headerReader.pos < end) {
      const tag = headerReader.tag();
      if (tag === TAG_EPOCH) header.epoch = headerReader.uint64();
      else if (tag === TAG_SEQ) header.seq = headerReader.uint64();
      else if (tag === TAG_ACK) header.ack = headerReader.uint64();
      else break;
    }
  } catch (error) {
    throw wireErrorOf(error);
  }
  headerReader.close();
  return header;
}
const headerReader = new Reader();

/** Takes a message; false ends the walk: nothing more is to be delivered. */
export interface FrameVisitor {
  message<N extends MessageName>(name: N, body: MessageOf<N>): boolean;
}

// Handlers run inside the walk and may cause another one (memory channels): each depth has its own reader.
const readers: Reader[] = [];
let depth = 0;

/**
 * Calls the visitor for the frame in bytes[start, end). `owned`: nobody writes into `bytes` again, so large fields may be views.
 * Throws WireError on malformed bytes; what the visitor throws comes out as it is.
 */
export function readFrame(bytes: Buffer, start: number, end: number, owned: boolean, visitor: FrameVisitor): void {
  const reader = (readers[depth] ??= new Reader());
  depth++;
  try {
    reader.open(bytes, start, end, owned);
    walk(reader, visitor);
  } finally {
    depth--;
    reader.close();
  }
}

function walk(reader: Reader, visitor: FrameVisitor): void {
  while (reader.pos < reader.len) {
    let row: Row | undefined;
    let body: MessageOf<MessageName> | undefined;
    try {
      const tag = reader.tag();
      if (tag === TAG_MESSAGE) {
        const end = reader.size() + reader.pos;
        row = rowOf(reader.tag());
        body = row.codec.decode(reader, reader.size());
        if (reader.pos !== end) throw new WireError("a message does not end where the one around it does");
      } else reader.skipType(tag & 7, 0, tag >>> 3);
    } catch (error) {
      throw wireErrorOf(error);
    }
    if (row !== undefined && !visitor.message(row.name, body as MessageOf<MessageName>)) return;
  }
}

function rowOf(tag: number): Row {
  const row = BY_TAG[tag];
  if (row === undefined) throw new WireError(`a frame carries message ${tag >>> 3}, which this release does not know`);
  return row;
}

/** Why a channel ends after `error` came out of reading or handling a frame. */
export function brokenBy(error: unknown, peer: string): Failure {
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof WireError) {
    return failureOf(new ConnectionError(`${peer} sent bytes that are not of the contract: ${text}`));
  }
  return failureOf(new TroupeError(`A message of ${peer} could not be handled: ${text}`, {}, error));
}

/** Why a carrier ends that was sent a frame beyond its bound. */
export function tooLong(length: number, most: number): Failure {
  return failureOf(new ConnectionError(`a frame of ${length} bytes exceeds the ${most} that are taken`));
}
