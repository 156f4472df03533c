// A range of the store as the host's own process writes and reads it: to spill objects, and to restore them.

import type { Native } from "../../native/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import { PAGE } from "./layout.ts";
import type { StorePlace } from "./overflow-place.ts";

/** One mapping is made of so much: the longest array of Node 20 is shorter than an object may be. */
const WINDOW_BYTES = 1024 * 1024 * 1024;

export class HostRange {
  readonly #native: Native;
  readonly #place: StorePlace;
  readonly #bytes: number;
  readonly #windows = new Map<number, ArrayBuffer>();
  #ended = false;

  constructor(native: Native, place: StorePlace, pages: number) {
    this.#native = native;
    this.#place = place;
    this.#bytes = pages * PAGE;
  }

  /** Within one window: blocks never cross their ends. */
  chunk(offset: number, length: number): Uint8Array {
    if (this.#ended) throw new InvalidArgumentError("the range was ended before");
    const index = Math.floor(offset / WINDOW_BYTES);
    return new Uint8Array(this.#window(index), offset - index * WINDOW_BYTES, length);
  }

  /** Makes the pages; rejects when there is no memory. */
  async populate(): Promise<void> {
    for (let index = 0; index * WINDOW_BYTES < this.#bytes; index += 1) {
      const window = this.#window(index);
      await this.#native.populate(window, 0, window.byteLength);
    }
  }

  /** Safe to call twice. */
  end(): void {
    this.#ended = true;
    for (const window of this.#windows.values()) this.#native.detach(window);
    this.#windows.clear();
  }

  #window(index: number): ArrayBuffer {
    let window = this.#windows.get(index);
    if (window !== undefined) return window;
    const start = index * WINDOW_BYTES;
    const length = Math.min(WINDOW_BYTES, this.#bytes - start);
    window = this.#native.mapShared(this.#place.path, this.#place.offset + start, length);
    this.#windows.set(index, window);
    return window;
  }
}
