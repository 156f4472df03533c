// A disk for spilled objects that fails as it is told.

import { OutOfDiskError } from "../../../runtime/errors.ts";
import type { SpillStorage } from "../../../runtime/store/index.ts";

export class FaultyDisk implements SpillStorage {
  readonly path = "";
  readonly blocks = new Map<number, Uint8Array>();
  /** Bytes it takes. */
  capacity = Number.POSITIVE_INFINITY;
  /** Called before each read and write; throws what they fail with. */
  fault: (what: "read" | "write") => void = () => {};
  written = 0;
  punched = 0;

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const copy = Uint8Array.from(bytes);
    await Promise.resolve();
    this.fault("write");
    const used = [...this.blocks.values()].reduce((sum, block) => sum + block.length, 0);
    if (used + copy.length > this.capacity) throw new OutOfDiskError("no space left on device");
    this.blocks.set(offset, copy);
    this.written += copy.length;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await Promise.resolve();
    this.fault("read");
    into.set((this.blocks.get(offset) as Uint8Array).subarray(0, into.length));
  }

  reserve(): void {}

  punch(offset: number, length: number): void {
    this.punched += length;
    for (const at of [...this.blocks.keys()]) if (at >= offset && at < offset + length) this.blocks.delete(at);
  }

  async close(): Promise<void> {}
}
