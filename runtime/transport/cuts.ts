// Broken networks for tests: frames between this process and chosen nodes are lost, as if a cable were cut in one direction or
// in both. And slow ones: what this process sends leaves at a rate.
//
// What is lost breaks nothing at first. A cut connection is given up after the time that keepalive would take, no new one
// comes about, and links do what they do about that. When the cut heals, connections that lost frames are made anew, and the
// links send again what the other side has not confirmed.

import { ConnectionError, DeadlineError, failureOf } from "../errors.ts";
import type { Clock, Timer } from "../seams.ts";
import type { Address } from "./channel.ts";
import type { Carrier, Place, Receiver } from "./carrier.ts";
import type { FrameHeader } from "./frame.ts";
import type { Failure } from "./messages.ts";
import { Pace, type PacedLane } from "./pace.ts";

export interface Cut {
  /** The other node, and where its agent is dialled. */
  readonly node: string;
  readonly address: Address;
  /** What it sends does not arrive here. */
  readonly inbound: boolean;
  /** What is sent here does not arrive there. */
  readonly outbound: boolean;
}

/** As long as keepalive takes to find a dead peer. */
const NOTICED_AFTER_MS = 8000;

export class Cuts {
  readonly #clock: Clock;
  readonly #gates = new Set<GatedCarrier>();
  readonly #pace: Pace;
  #cuts: readonly Cut[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#pace = new Pace(clock);
  }

  /** From now on these, and no others. `rate`: bytes a second that are sent to all nodes together; 0: any. */
  set(cuts: readonly Cut[], rate = 0): void {
    this.#cuts = cuts;
    this.#pace.set(rate);
    for (const gate of [...this.#gates]) gate.changed();
  }

  of(node: string): Cut | undefined {
    return this.#cuts.find((cut) => cut.node === node);
  }

  /** What is sent there may be lost: nobody answers within the bound. */
  async dialled(address: Address, timeoutMs: number): Promise<void> {
    if (!this.#cuts.some((cut) => cut.address === address)) return;
    await new Promise<void>((resolve) => void this.#clock.after(timeoutMs, resolve));
    throw new DeadlineError(`no connection to ${address} within ${timeoutMs} ms`);
  }

  /** A connection to a node, which loses what is cut. */
  gate(carrier: Carrier, node: string): Carrier {
    const lane = this.#pace.lane();
    const gate = new GatedCarrier(carrier, this.#clock, lane, () => this.of(node), () => void this.#gates.delete(gate));
    this.#gates.add(gate);
    gate.changed();
    return gate;
  }
}

class GatedCarrier implements Carrier, Receiver {
  receiver!: Receiver;
  readonly #carrier: Carrier;
  readonly #clock: Clock;
  readonly #lane: PacedLane;
  readonly #cut: () => Cut | undefined;
  readonly #gone: () => void;
  #noticed: Timer | undefined;
  /** Where bytes go that no cut has lost. */
  #accompanied: Place | undefined;

  constructor(carrier: Carrier, clock: Clock, lane: PacedLane, cut: () => Cut | undefined, gone: () => void) {
    this.#carrier = carrier;
    this.#clock = clock;
    this.#lane = lane;
    this.#cut = cut;
    this.#gone = gone;
    carrier.receiver = this;
  }

  changed(): void {
    const lost = failureOf(new ConnectionError("frames of this connection were lost"));
    if (this.#cut() !== undefined) this.#noticed ??= this.#clock.after(NOTICED_AFTER_MS, () => this.destroy(lost));
    else if (this.#noticed !== undefined) this.destroy(lost);
  }

  // -- the carrier's face --------------------------------------------------------------------------------------------

  get frameMax(): number {
    return this.#carrier.frameMax;
  }

  set frameMax(bytes: number) {
    this.#carrier.frameMax = bytes;
  }

  get overhead(): number {
    return this.#carrier.overhead;
  }

  get pendingBytes(): number {
    return this.#carrier.pendingBytes + this.#lane.pendingBytes;
  }

  get late(): boolean {
    return this.#carrier.late;
  }

  header(): FrameHeader {
    return this.#carrier.header?.() ?? { epoch: 0, seq: 0, ack: 0 };
  }

  write(bytes: Buffer, length: number, now: boolean): boolean {
    if (this.#cut()?.outbound) return false;
    const isHeld = this.#lane.holds(length, () => {
      const copy = Buffer.from(bytes.subarray(0, length));
      return { send: () => void this.#carrier.write(copy, length, true), drop: () => {} };
    });
    return isHeld ? false : this.#carrier.write(bytes, length, now);
  }

  get writeBeside(): Carrier["writeBeside"] {
    return this.#carrier.writeBeside && ((...what) => this.#writeBeside(...what));
  }

  flush(): void {
    this.#carrier.flush();
  }

  hold(alive: boolean): void {
    this.#carrier.hold(alive);
  }

  end(): void {
    const end = (): void => this.#carrier.end();
    if (!this.#lane.holds(0, () => ({ send: end, drop: end }))) end();
  }

  destroy(failure: Failure | undefined): void {
    this.#lane.end();
    this.#carrier.destroy(failure);
  }

  // -- the receiver's ------------------------------------------------------------------------------------------------

  frame(bytes: Buffer, start: number, end: number, owned: boolean): void {
    if (!this.#cut()?.inbound) this.receiver.frame(bytes, start, end, owned);
  }

  beside(bytes: Buffer, start: number, end: number, length: number): Place | undefined {
    if (this.#cut()?.inbound) return { bytes: Buffer.allocUnsafeSlow(length), ended: () => {} };
    this.#accompanied = this.receiver.beside?.(bytes, start, end, length);
    return this.#accompanied;
  }

  arrived(place: Place): void {
    if (place === this.#accompanied) this.receiver.arrived?.(place);
  }

  turn(): void {
    this.receiver.turn();
  }

  drained(): void {
    this.receiver.drained();
  }

  ended(failure: Failure | undefined): void {
    this.#noticed?.cancel();
    this.#lane.end();
    this.#gone();
    this.receiver.ended(failure);
  }

  // -- inside --------------------------------------------------------------------------------------------------------

  #writeBeside(bytes: Buffer, length: number, beside: Uint8Array, left: () => void): boolean {
    if (this.#cut()?.outbound) {
      left();
      return false;
    }
    const isHeld = this.#lane.holds(length + beside.length, () => {
      const copy = Buffer.from(bytes.subarray(0, length));
      return { send: () => void this.#carrier.writeBeside?.(copy, length, beside, left), drop: left };
    });
    return isHeld ? false : this.#carrier.writeBeside?.(bytes, length, beside, left) ?? false;
  }
}
