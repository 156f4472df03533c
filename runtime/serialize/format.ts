// The bytes of a value, version 1. All integers are little-endian; `n` is a LEB128 number of at most 53 bits.
//
//   small block   ┌ C1 ┬ 00 ┬ value … ┐                      no buffers; starts anywhere
//   large block   ┌ C1 ┬ 01 ┬ 00 00 ┬ count u32 ┬ end f64 ┬ value … ┬ 0 … ┬ table ┬ 0 … ┬ buffer ┬ 0 … ┬ buffer ┐
//                 0                                       16        end   8-aligned   64-aligned   64-aligned
//   table entry   ┌ offset f64 ┬ length f64 ┬ base f64 ┬ flags u32 ┬ 00 00 00 00 ┐   ascending, never overlapping
//
// One tag byte starts every value. A *composite* is a header, which is enough to make the empty object, and a body. After
// DEFER the body is not here but in the queue of the scope, which follows the scope's root value in order of appearance: so
// neither side recurses deeper than a constant, whatever the shape of the value. The block is a scope; so is what stands for a
// value with a serializer or a reduce method, because that must be complete before the value can be made.
//
// Objects are numbered by the order of their headers; BACK names one. ArrayBuffers written in place have numbers of their own.
//   props   n × (key value, flags 1, value)      key: a string or a symbol; flags: 1 enumerable, 2 writable, 4 configurable
//   source  00 n bytes (a new buffer in place) | 01 n (a buffer in place again) | 02 n (a table entry)
//           | 03 n source (a resizable buffer and how large it may become)

export const MAGIC = 0xc1;
export const PLAIN_BLOCK = 0;
export const BUFFERS_BLOCK = 1;
export const SMALL_HEADER_BYTES = 2;
export const LARGE_HEADER_BYTES = 16;
export const TABLE_ENTRY_BYTES = 32;
export const BUFFER_ALIGNMENT = 64;

/** Buffers from here on are out of band: below it a table entry costs more than the copy. */
export const OUT_OF_BAND_BYTES = 4096;
/** Buffers from here on are read in place; architecture.md's one constant. */
export const VIEW_BYTES = 64 * 1024;

/** Bodies that nest deeper go to the scope's queue. Both sides use a few hundred bytes of stack a level. */
export const INLINE_DEPTH = 40;
/** Serializers whose payloads hold values with serializers …: each is a scope inside a scope and needs the stack. */
export const SCOPE_DEPTH = 100;

export const SMALL_INT_MAX = 0x7f;
export const SHORT_TEXT = 0x80;
export const SHORT_TEXT_MAX = 31;
export const SHORT_ARRAY = 0xa0;
export const SHORT_OBJECT = 0xb0;
export const SHORT_COUNT_MAX = 15;

export const UNDEFINED = 0xc0;
export const NULL = 0xc1;
export const TRUE = 0xc2;
export const FALSE = 0xc3;
/** A missing element of an array. */
export const HOLE = 0xc4;
export const INT8 = 0xc5;
export const INT16 = 0xc6;
export const INT32 = 0xc7;
export const FLOAT64 = 0xc8;
/** sign byte, n hex digits */
export const BIGINT = 0xc9;
/** n, one byte a character */
export const LATIN1 = 0xca;
/** n characters, two bytes each: lone surrogates survive */
export const UTF16 = 0xcb;
/** text value: the key in the registry */
export const REGISTERED_SYMBOL = 0xcc;
/** text value: iterator, toStringTag … */
export const WELL_KNOWN_SYMBOL = 0xcd;

/** n: number of an object */
export const BACK = 0xd0;
/** prefix of a composite */
export const DEFER = 0xd1;
/** n elements */
export const ARRAY = 0xd2;
/** n length, props: sparse, or with properties beside its elements */
export const LOOSE_ARRAY = 0xd3;
/** n × (key, value) */
export const OBJECT = 0xd4;
/** as OBJECT, and its keys get the next shape number */
export const SHAPE_OBJECT = 0xd5;
/** n: shape number; then the values */
export const SHAPED = 0xd6;
/** props: has symbols as keys or hidden properties */
export const PROPS_OBJECT = 0xd7;
/** props: no prototype */
export const NULL_OBJECT = 0xd8;
/** n × (key, value) */
export const MAP = 0xd9;
/** n × value */
export const SET = 0xda;
/** class value; props */
export const INSTANCE = 0xdb;
/** class value or NULL, the built-in value; props beside it. The pair is one object. */
export const DECORATED = 0xdc;
/** family (one of ERROR_*); props */
export const ERROR = 0xdd;
/** message, name; props */
export const DOM_EXCEPTION = 0xde;

export const DATE = 0xe0;
/** source, flags, last index */
export const REGEXP = 0xe1;
/** the primitive */
export const BOXED = 0xe2;
export const URL_VALUE = 0xe3;
/** n bytes: a Buffer from Node's shared pool, alone */
export const POOLED_BUFFER = 0xe4;
/** source */
export const ARRAY_BUFFER = 0xe5;
/** kind, source, n byte offset in the original buffer, n length in elements unless the kind is TRACKING */
export const VIEW = 0xe6;
/** form, module kind, n table entry: Arrow IPC stream */
export const ARROW = 0xe7;

/** n bytes for the hook */
export const REF = 0xf0;
export const HANDLE = 0xf1;
export const FUNCTION = 0xf2;
/** class, serialize, deserialize; a scope with the payload */
export const CUSTOM = 0xf3;
/** restore function; a scope with its arguments */
export const REDUCED = 0xf4;

export const SOURCE_INLINE = 0;
export const SOURCE_AGAIN = 1;
export const SOURCE_TABLE = 2;
export const SOURCE_RESIZABLE = 3;
/** With the kind of a view: its length is that of its resizable buffer. */
export const TRACKING = 0x80;
/** Each reserves address space, whatever its size. */
export const RESIZABLE_COUNT_MAX = 256;
/** Table flag: the ArrayBuffer itself is a value, so it must be made whole. */
export const EXPOSED = 1;

/** text: name of a built-in class */
export const ERROR_BUILTIN = 0;
/** text: stable code of a TroupeError */
export const ERROR_TROUPE = 1;
/** class value, text: built-in class to fall back to, text: name of the class */
export const ERROR_USER = 2;

export const ENUMERABLE = 1;
export const WRITABLE = 2;
export const CONFIGURABLE = 4;
export const PLAIN_PROPERTY = ENUMERABLE | WRITABLE | CONFIGURABLE;

export const ARROW_TABLE = 0;
export const ARROW_BATCH = 1;
export const ARROW_VECTOR = 2;

/** Kinds of VIEW by number: append only. Float16Array is not in every supported release. */
export const VIEW_KINDS = [
  "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "Float32Array",
  "Float64Array", "BigInt64Array", "BigUint64Array", "DataView", "Buffer", "Float16Array",
] as const;

export const WELL_KNOWN_SYMBOLS: ReadonlyMap<string, symbol> = new Map(
  Object.getOwnPropertyNames(Symbol).flatMap((name) => {
    const value = (Symbol as unknown as Record<string, unknown>)[name];
    return typeof value === "symbol" && Symbol.keyFor(value) === undefined ? [[name, value] as const] : [];
  }),
);

export const BUILTIN_ERRORS: ReadonlySet<string> = new Set([
  "Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError", "AggregateError",
  "SuppressedError",
]);

export function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
