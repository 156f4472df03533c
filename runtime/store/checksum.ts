// CRC-32: the sum that chunks on their way, and what lies on the disk, are compared by.
//
// The addon's goes at the rate of the memory where the processor has the instructions for it; zlib's is the same sum.

import { crc32 as zlibCrc32 } from "node:zlib";
import { native } from "../../native/index.ts";

/** Of what `sum` is the sum of, followed by `bytes`. */
export const crc32: (bytes: Uint8Array, sum?: number) => number = native?.crc32 ?? zlibCrc32;
