// The store's shared memory, word by word.
//
// data memory (a memfd): pages only. Every object starts on a page and owns its pages.
//
//   0            2 MiB          4 MiB                      capacity
//   ├── slab ────┼── slab ──────┼── large object ── free ──┤
//     carved by      one size
//     its client     class each
//
// control memory (a second memfd, mapped shared by everybody), Int32 words:
//
//   word 0                HEADER_WORDS                + DESCRIPTORS*8            + CLIENTS*CLIENT_WORDS
//   ├── header ───────────┼── descriptors ────────────┼── clients ───────────────┤
//   magic, version          8 words each:               CLIENT_WORDS each:
//                           0 generation                0 heartbeat (ms, by the native thread)
//                           1 state FREE|LEASED|        1 last turn (ms, by the loop)
//                             SEALED|ABORTED|EVICTED    2 pid of its process, 3 when that started (ticks, 31 bits)
//                           2 first page + 1            4 pins from here on were never used: the host looks no further
//                           3 size, low 32 bits         5 objects it aborted, ever
//                           4 size, high bits           6 recalls of its open slabs, by the host; 7 it let go up to this slab
//                           5, 6 owner's process,       8 tag of the code that runs now; 9.. pins: slot + 1, or 0
//                           7 owner's node (hashes)
//
// Who writes what: the host writes generations; the creator writes state, page, size and owner of a descriptor it leased, until
// sealed; a client writes its own block, but for word 6. Nobody locks anything: a reader pins (writes its pin), then reads
// the generation again and backs off when it changed; the host frees by changing the generation, then looks at every pin
// before it reuses the range. Host and clients trust no word of another: offsets and sizes are checked against the memory's
// bounds, and the host keeps its own books.
//
// An object may leave the data memory while its descriptor stays: the host writes EVICTED, looks at every pin, and takes that
// back when it finds one. Restored, it has other pages. Pages from the overflow's first on lie in a file on disk instead.

export const PAGE = 4096;
export const SLAB_BYTES = 2 * 1024 * 1024;
export const MAGIC = 0x74727570;
export const LAYOUT_VERSION = 5;

export const HEADER_WORDS = 1024;
export const DESCRIPTOR_WORDS = 8;
export const DESCRIPTORS = 1_048_576;
export const CLIENTS = 512;
export const PINS = 16_375;
export const CLIENT_WORDS = 9 + PINS;

export const DESCRIPTORS_AT = HEADER_WORDS;
export const CLIENTS_AT = DESCRIPTORS_AT + DESCRIPTORS * DESCRIPTOR_WORDS;
export const CONTROL_BYTES = (CLIENTS_AT + CLIENTS * CLIENT_WORDS) * 4;

export const GENERATION = 0;
export const STATE = 1;
export const FIRST_PAGE = 2;
export const SIZE_LOW = 3;
export const SIZE_HIGH = 4;
/** Two words. */
export const OWNER_PROCESS = 5;
export const OWNER_NODE = 7;

export const FREE = 0;
export const LEASED = 1;
export const SEALED = 2;
/** Its creator gave up: the host takes it back. */
export const ABORTED = 3;
/** Its bytes are elsewhere: whoever wants them asks the agent. */
export const EVICTED = 4;

export const HEARTBEAT = 0;
export const LAST_TURN = 1;
export const PID = 2;
export const STARTED = 3;
export const PINS_USED = 4;
export const ABORTS = 5;
export const RECALL = 6;
export const RETURNED = 7;
export const RUNS = 8;
export const FIRST_PIN = 9;

export function descriptorAt(slot: number): number {
  return DESCRIPTORS_AT + slot * DESCRIPTOR_WORDS;
}

export function clientAt(client: number): number {
  return CLIENTS_AT + client * CLIENT_WORDS;
}

/** What stands in the words for an id: 64 bits of it, of a node the first 32. */
export function ownerWords(id: string): readonly [number, number] {
  let first = 0x811c9dc5;
  let second = 0x9e3779b1;
  for (let index = 0; index < id.length; index += 1) {
    first = Math.imul(first ^ id.charCodeAt(index), 0x01000193);
    second = Math.imul(second + id.charCodeAt(index), 0x85ebca6b) ^ (second >>> 15);
  }
  return [first | 0, second | 0];
}

/** First page of the overflow: beyond all pages of the memory, where a slab may begin. */
export function overflowPageOf(capacity: number): number {
  return Math.ceil(capacity / SLAB_BYTES) * (SLAB_BYTES / PAGE);
}

export function pagesOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / PAGE));
}

/** Whether a part lies in an object of `size` bytes. */
export function isInside(offset: number, length: number, size: number): boolean {
  return Number.isInteger(offset) && Number.isInteger(length) && offset >= 0 && length >= 0 && offset + length <= size;
}

export function isSize(bytes: number): boolean {
  return Number.isSafeInteger(bytes) && bytes >= 0;
}

/** Sizes of slab chunks in pages: steps of about an eighth, from 4 KiB to 512 KiB. */
export const SIZE_CLASSES: readonly number[] = sizeClasses();

function sizeClasses(): number[] {
  const classes: number[] = [];
  for (let pages = 1; pages < 128; pages = Math.max(pages + 1, Math.floor(pages * 1.125))) classes.push(pages);
  classes.push(128);
  return classes;
}

/** The smallest class that holds so many bytes; undefined when it takes an allocation of its own. */
export function sizeClassOf(bytes: number): number | undefined {
  const pages = pagesOf(bytes);
  const index = SIZE_CLASSES.findIndex((size) => size >= pages);
  return index < 0 ? undefined : index;
}

export function chunksPerSlab(sizeClass: number): number {
  return Math.floor(SLAB_BYTES / PAGE / SIZE_CLASSES[sizeClass]);
}
