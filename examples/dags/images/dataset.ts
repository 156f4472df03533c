// Images as files: the format of the data set, and PGM, which any viewer opens.

import { readFile } from "node:fs/promises";
import { gunzipSync } from "node:zlib";

export const SIDE = 28;
export const PIXELS = SIDE * SIDE;

export interface Picture {
  /** "coat" or "pullover", with a number. */
  readonly name: string;
  readonly pixels: Uint8Array;
}

const NAMES: Readonly<Record<number, string>> = { 2: "pullover", 4: "coat" };
const HEADER = `P5\n${SIDE} ${SIDE}\n255\n`;
const IMAGES_AT = 16;
const LABELS_AT = 8;

export async function picturesIn(folder: string, set: "train" | "t10k"): Promise<Picture[]> {
  const read = async (kind: string): Promise<Buffer> => gunzipSync(await readFile(`${folder}/fashion-${set}-${kind}-ubyte.gz`));
  const [images, labels] = await Promise.all([read("images-idx3"), read("labels-idx1")]);
  return Array.from({ length: images.readUInt32BE(4) }, (_, i) => ({
    name: `${NAMES[labels[LABELS_AT + i]]}-${String(i).padStart(4, "0")}`,
    pixels: images.subarray(IMAGES_AT + i * PIXELS, IMAGES_AT + (i + 1) * PIXELS),
  }));
}

export function pgmOf({ pixels }: Picture): Buffer {
  return Buffer.concat([Buffer.from(HEADER), pixels]);
}

export function pixelsOf(pgm: Uint8Array): Uint8Array {
  return pgm.subarray(HEADER.length);
}
