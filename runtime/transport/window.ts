// Sequence windows of a resumable link: what was sent and not yet confirmed, and what has arrived. Pure.
//
// Frames of one session are numbered from 1 in each direction. The sender keeps each until the other side has confirmed it; the
// receiver takes exactly the next number and passes over what it has had. A gap means that bytes were lost inside a
// connection, which a working carrier never does: that connection is given up and the session resumed.

/** Frames sent and not confirmed, oldest first. */
export class SendWindow {
  #frames: Buffer[] = [];
  /** Index of the oldest frame still kept: the array is trimmed now and then, not at every confirmation. */
  #head = 0;
  #confirmed = 0;
  #bytes = 0;

  /** Bytes of frames that are not confirmed. */
  get bytes(): number {
    return this.#bytes;
  }
  /** Number of the next frame. */
  get next(): number {
    return this.#confirmed + this.#frames.length - this.#head + 1;
  }

  /** Keeps a frame under the number `next`. */
  keep(frame: Buffer): void {
    this.#frames.push(frame);
    this.#bytes += frame.length;
  }

  /** Every frame up to `seq` has arrived. False when the other side confirms what was never sent. */
  confirm(seq: number): boolean {
    if (seq >= this.next) return false;
    while (this.#confirmed < seq) {
      this.#bytes -= this.#frames[this.#head].length;
      this.#frames[this.#head++] = EMPTY;
      this.#confirmed++;
    }
    if (this.#head > 256 && this.#head * 2 > this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return true;
  }

  /** What the other side has not confirmed, in order. */
  unconfirmed(): readonly Buffer[] {
    return this.#frames.slice(this.#head);
  }
}
const EMPTY = Buffer.alloc(0);

export type Arrival = "next" | "repeat" | "gap";

/** Which frames have arrived, and what the other side has been told of it. */
export class ReceiveWindow {
  #received = 0;
  #told = 0;
  #bytesUntold = 0;

  /** Highest frame received in order. */
  get received(): number {
    return this.#received;
  }
  /** Frames received and not yet confirmed. */
  get untold(): number {
    return this.#received - this.#told;
  }
  get untoldBytes(): number {
    return this.#bytesUntold;
  }

  arrive(seq: number, bytes: number): Arrival {
    if (seq <= this.#received) return "repeat";
    if (seq > this.#received + 1) return "gap";
    this.#received = seq;
    this.#bytesUntold += bytes;
    return "next";
  }

  /** The number to confirm now; it is taken as told. */
  tell(): number {
    this.#told = this.#received;
    this.#bytesUntold = 0;
    return this.#received;
  }
}
