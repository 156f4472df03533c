// Writing built-in objects that hold no other values: dates, patterns, boxed primitives, buffers, Arrow data; and error classes.

import { Buffer } from "node:buffer";
import { types } from "node:util";
import { TroupeError, errorClassOf } from "../errors.ts";
import { encodeArrow } from "./arrow.ts";
import { OVERFLOW } from "./byte-writer.ts";
import type { Family } from "./classes.ts";
import type { Encoder } from "./encoder.ts";
import * as f from "./format.ts";
import { Refusal } from "./refusal.ts";
import { isResizable, type ResizableBuffer } from "./resizable.ts";

const VIEW_KIND_NUMBERS: ReadonlyMap<string, number> = new Map(f.VIEW_KINDS.map((name, kind) => [name, kind]));

export function encodeLeaf(encoder: Encoder, value: object, family: Family): void {
  switch (family) {
    case "date":
      encoder.number(value);
      encoder.out.byte(f.DATE);
      encoder.out.float(Date.prototype.getTime.call(value));
      return;
    case "regexp": encodeRegExp(encoder, value as RegExp); return;
    case "boxed":
      encoder.number(value);
      encoder.out.byte(f.BOXED);
      encoder.value((value as { valueOf(): unknown }).valueOf(), 0);
      return;
    case "url":
      encoder.number(value);
      encoder.out.byte(f.URL_VALUE);
      encoder.out.text((value as URL).href);
      return;
    case "arraybuffer":
      checkBuffer(value, value as ArrayBuffer);
      encoder.number(value);
      encoder.out.byte(f.ARRAY_BUFFER);
      encodeSource(encoder, value, value as ArrayBuffer, 0, (value as ArrayBuffer).byteLength, true);
      return;
    case "view": encodeView(encoder, value as ArrayBufferView); return;
    default: throw new Refusal(value, `is of an unknown kind (${family})`, "report this as a defect");
  }
}

function encodeRegExp(encoder: Encoder, value: RegExp): void {
  encoder.number(value);
  encoder.out.byte(f.REGEXP);
  encoder.out.text(value.source);
  encoder.out.text(value.flags);
  encoder.value(value.lastIndex, 0);
}

function encodeView(encoder: Encoder, value: ArrayBufferView): void {
  const { out } = encoder;
  const { buffer, byteOffset, byteLength } = value;
  const isBuffer = Buffer.isBuffer(value);
  encoder.number(value);
  if (isBuffer && buffer.byteLength === Buffer.poolSize && byteLength < f.OUT_OF_BAND_BYTES) {
    // Node's pool holds strangers' bytes: sharing in it is an accident and must not travel.
    out.byte(f.POOLED_BUFFER);
    out.count(byteLength);
    out.raw(value as Buffer);
    return;
  }
  const kind = VIEW_KIND_NUMBERS.get(isBuffer ? "Buffer" : types.isDataView(value) ? "DataView" : kindName(value));
  if (kind === undefined) throw new Refusal(value, `is a ${kindName(value)}, which this release does not know`, "send its bytes");
  checkBuffer(value, buffer);
  const isTracking = tracksLength(value);
  out.byte(f.VIEW);
  out.byte(isTracking ? kind | f.TRACKING : kind);
  encodeSource(encoder, value, buffer as ArrayBuffer, byteOffset, byteOffset + byteLength, false);
  out.count(byteOffset);
  if (!isTracking) out.count("length" in value ? (value.length as number) : byteLength);
}

/** Whether a view grows with its buffer. The language does not say; a copy whose buffer shrinks to the view's start does. */
function tracksLength(view: ArrayBufferView): boolean {
  if (!isResizable(view.buffer) || view.byteLength === 0) return false;
  const copy = structuredClone(view);
  (copy.buffer as ResizableBuffer).resize(view.byteOffset);
  try {
    if (copy instanceof DataView) return copy.byteLength === 0;
    (copy as Uint8Array).fill(0);
    return true;
  } catch (error) {
    // A view of a fixed part lies outside of its buffer now.
    if (error instanceof TypeError) return false;
    throw error;
  }
}

const typedArrayName = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Uint8Array.prototype), Symbol.toStringTag)!.get!;

function kindName(value: object): string {
  return String(typedArrayName.call(value));
}

function encodeSource(encoder: Encoder, holder: object, buffer: ArrayBuffer, start: number, end: number, exposed: boolean): void {
  const { out, buffers } = encoder;
  if (isResizable(buffer)) {
    if (!buffers.countResizable(buffer)) {
      const remedy = "send buffer.slice() of most of them";
      throw new Refusal(holder, `is or has one of more than ${f.RESIZABLE_COUNT_MAX} resizable ArrayBuffers`, remedy);
    }
    out.byte(f.SOURCE_RESIZABLE);
    out.count(buffer.maxByteLength);
    exposed = true;
  }
  if (buffer.byteLength >= f.OUT_OF_BAND_BYTES) {
    if (!encoder.allowBuffers) throw OVERFLOW;
    out.byte(f.SOURCE_TABLE);
    out.count(exposed ? buffers.tableNumber(buffer, 0, buffer.byteLength, true) : buffers.tableNumber(buffer, start, end, false));
    return;
  }
  const number = buffers.inlineNumber(buffer);
  if (number >= 0) {
    out.byte(f.SOURCE_AGAIN);
    out.count(number);
  } else {
    out.byte(f.SOURCE_INLINE);
    out.count(buffer.byteLength);
    out.raw(new Uint8Array(buffer));
  }
}

function checkBuffer(holder: object, buffer: ArrayBufferLike): void {
  if (types.isSharedArrayBuffer(buffer)) {
    const what = holder === (buffer as object) ? "is a SharedArrayBuffer" : "is a view of a SharedArrayBuffer";
    throw new Refusal(holder, what, "memory is not shared between workers: send a copy of it");
  }
  if (buffer.byteLength === 0 && isDetached(buffer)) {
    throw new Refusal(holder, "has lost its memory (it was transferred or released)", "send it before, or a copy");
  }
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    return new Uint8Array(buffer).length !== 0;
  } catch (error) {
    if (error instanceof TypeError) return true;
    throw error;
  }
}

export function encodeArrowValue(encoder: Encoder, value: object): void {
  if (!encoder.allowBuffers) throw OVERFLOW;
  const { form, kind, pieces } = encodeArrow(value);
  encoder.number(value);
  encoder.out.byte(f.ARROW);
  encoder.out.byte(form);
  encoder.out.byte(kind);
  encoder.out.count(encoder.buffers.tableNumberOfPieces(pieces));
}

/** The header of an error: which class it has again on the other side. */
export function encodeErrorClass(encoder: Encoder, value: object, userClass: Function | undefined, depth: number): void {
  const { out } = encoder;
  const troupeClass = userClass === undefined ? undefined : catalogued(value, userClass);
  if (troupeClass !== undefined) {
    out.byte(f.ERROR_TROUPE);
    out.text(troupeClass);
  } else if (userClass === undefined) {
    out.byte(f.ERROR_BUILTIN);
    out.text(builtinBase(value));
  } else {
    out.byte(f.ERROR_USER);
    encoder.classOf(value, userClass, depth + 1);
    out.text(builtinBase(value));
    out.text(userClass.name);
  }
}

/** The code of one of Troupe's own classes, also of another copy of the package. A user's subclass travels as a user's class. */
function catalogued(value: object, constructor: Function): string | undefined {
  if (!(value instanceof TroupeError)) return undefined;
  const code: unknown = (constructor as typeof TroupeError).code;
  return typeof code === "string" && errorClassOf(code).name === constructor.name ? code : undefined;
}

/** The nearest class in the prototype chain that every process has. */
export function builtinBase(value: object): string {
  for (let at: unknown = Object.getPrototypeOf(value); typeof at === "object" && at !== null; at = Object.getPrototypeOf(at)) {
    const name: unknown = Object.getOwnPropertyDescriptor(at, "constructor")?.value?.name;
    if (typeof name === "string" && f.BUILTIN_ERRORS.has(name)) return name;
  }
  return "Error";
}
