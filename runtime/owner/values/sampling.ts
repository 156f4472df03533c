// A number that two encodings of different values hardly share, from samples of their bytes: a hash of all of them would cost as
// much as writing them.

const SAMPLES = 32;
const SAMPLE_BYTES = 32;
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Never 0. `parts` are what is written; what lies between them is anything. */
export function sampleSum(size: number, parts: Iterable<{ readonly bytes: Uint8Array }>): number {
  let sum = Math.imul(FNV_OFFSET ^ size, FNV_PRIME);
  const every = Math.max(SAMPLE_BYTES, Math.ceil(size / SAMPLES));
  for (const { bytes } of parts) {
    for (let from = 0; from < bytes.length; from += every) {
      const to = Math.min(bytes.length, from + SAMPLE_BYTES);
      for (let at = from; at < to; at += 1) sum = Math.imul(sum ^ bytes[at], FNV_PRIME);
    }
    // The last bytes of a part are in none of its first samples.
    const last = Math.max(0, bytes.length - SAMPLE_BYTES);
    for (let at = last; at < bytes.length; at += 1) sum = Math.imul(sum ^ bytes[at], FNV_PRIME);
  }
  return sum >>> 0 || 1;
}
