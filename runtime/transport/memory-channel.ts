// Channels inside one process: for tests, the simulator, and a head that lives in its private cluster's host.
//
// Frames pass through the real codec, so nothing is shared by reference. Each direction is a queue; `schedule` decides when its
// next item is taken out, so the simulator delays deliveries as its seed says while their order always holds.

import { ConnectionError, failureOf, InvalidArgumentError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { Admission, Address, Channel, ChannelHandler, DialOptions, Identity, Listener, Peer, Transport } from "./channel.ts";
import type { Carrier, Receiver } from "./carrier.ts";
import type { FrameChannel } from "./frame-channel.ts";
import { greet, receive } from "./hello.ts";
import { FRAME_MAX, PREFIX, tooLong } from "./frame.ts";
import { Hold } from "./hold.ts";
import type { Failure } from "./messages.ts";

/** One delivery, as the simulator sees it. */
export interface Delivery {
  readonly from: Identity;
  readonly to: Identity;
  readonly bytes: number;
}

export interface MemoryTransportOptions {
  readonly clock: Clock;
  /** Runs `deliver` later, exactly once, never within the call. The default is the loop's next turn. */
  readonly schedule?: (deliver: () => void, delivery: Delivery) => void;
  readonly refused?: (error: Error, peer: Peer) => void;
  /** A connection that is waited for keeps the process alive, while its timers do: in a process that is real. */
  readonly holds?: boolean;
}

export interface MemoryTransport extends Transport {
  /** Breaks every connection between two processes for which `between` is true, as if a wire had been cut. */
  sever(between: (one: Identity, other: Identity) => boolean): void;
}

type Item = Buffer | "end";

export class MemoryCarrier implements Carrier {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = 0;
  pendingBytes = 0;
  #other!: MemoryCarrier;
  #queue: Item[] = [];
  #ended = false;
  readonly self: Identity;
  readonly #schedule: (deliver: () => void, delivery: Delivery) => void;
  readonly #gone: (carrier: MemoryCarrier) => void;
  readonly #hold: Hold | undefined;

  constructor(
    self: Identity, schedule: (deliver: () => void, delivery: Delivery) => void, gone: (carrier: MemoryCarrier) => void,
    hold?: Hold,
  ) {
    this.self = self;
    this.#hold = hold;
    this.#schedule = schedule;
    this.#gone = gone;
  }

  get other(): MemoryCarrier {
    return this.#other;
  }

  join(other: MemoryCarrier): void {
    this.#other = other;
    other.#other = this;
  }

  write(bytes: Buffer, length: number): boolean {
    if (this.#ended) return false;
    const frame = Buffer.allocUnsafeSlow(length - PREFIX);
    bytes.copy(frame, 0, PREFIX, length);
    this.pendingBytes += frame.length;
    this.#put(frame, frame.length);
    return false;
  }

  flush(): void {}
  hold(alive: boolean): void {
    if (!this.#ended) this.#hold?.set(alive);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hold?.set(false);
    this.#gone(this);
    this.#put("end", 0);
  }

  destroy(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#hold?.set(false);
    this.#gone(this);
    this.receiver.ended(failure);
    this.#put("end", 0);
  }

  /** The wire breaks: what is under way is lost, each side is told in its own turn. */
  cut(failure: Failure): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#queue = [];
    this.#hold?.set(false);
    this.#gone(this);
    this.#schedule(() => this.receiver.ended(failure), { from: this.#other.self, to: this.self, bytes: 0 });
  }

  #put(item: Item, bytes: number): void {
    this.#queue.push(item);
    this.#schedule(() => this.#deliver(), { from: this.self, to: this.#other.self, bytes });
  }

  /** Takes the next item of this direction to the other side. */
  #deliver(): void {
    const item = this.#queue.shift();
    const other = this.#other;
    if (item === undefined || other.#ended) return;
    if (item === "end") {
      other.#ended = true;
      other.#hold?.set(false);
      other.#gone(other);
      return other.receiver.ended(undefined);
    }
    this.pendingBytes -= item.length;
    if (item.length > other.frameMax) {
      return other.destroy(tooLong(item.length, other.frameMax));
    }
    other.receiver.frame(item, 0, item.length, true);
    if (!other.#ended) other.receiver.turn();
    if (!this.#ended) this.receiver.drained();
  }
}

/** A world of its own: an address of one transport means nothing in another. */
export function memoryTransport(options: MemoryTransportOptions): MemoryTransport {
  const schedule = options.schedule ?? ((deliver) => options.clock.soon(deliver));
  const listeners = new Map<Address, { identity: Identity; accept(): MemoryCarrier }>();
  const carriers = new Set<MemoryCarrier>();
  const gone = (carrier: MemoryCarrier): void => void carriers.delete(carrier);

  async function dial(address: Address, identity: Identity, handler: ChannelHandler, how: DialOptions): Promise<Channel> {
    const listener = listeners.get(address);
    if (listener === undefined) throw new ConnectionError(`nobody listens at ${address}`, { address });
    const near = new MemoryCarrier(identity, schedule, gone, options.holds ? new Hold(options.clock) : undefined);
    near.join(listener.accept());
    carriers.add(near);
    let made!: Channel;
    await greet(near, identity, { ...how, clock: options.clock }, address, (channel, { peer }) => {
      channel.become(peer, handler);
      made = channel;
    });
    return made;
  }

  async function listen(address: Address, identity: Identity, admit: (peer: Peer) => Admission): Promise<Listener> {
    if (!address.startsWith("memory:")) throw new InvalidArgumentError(`The memory transport has no address ${address}`);
    if (listeners.has(address)) throw new InvalidArgumentError(`Somebody listens at ${address} already`);
    const accepted = new Set<FrameChannel>();
    listeners.set(address, {
      identity,
      accept() {
        const carrier = new MemoryCarrier(identity, schedule, gone);
        carriers.add(carrier);
        const channel = receive(carrier, { identity, clock: options.clock, admit, refused: options.refused });
        accepted.add(channel);
        channel.gone = () => void accepted.delete(channel);
        return carrier;
      },
    });
    return {
      address,
      async close() {
        if (!listeners.delete(address)) return;
        for (const channel of [...accepted]) channel.close(`the listener at ${address} closes`);
      },
    };
  }

  function sever(between: (one: Identity, other: Identity) => boolean): void {
    const failure = failureOf(new ConnectionError("the connection was cut"));
    for (const carrier of [...carriers]) if (between(carrier.self, carrier.other.self)) carrier.cut(failure);
  }

  return { dial, listen, sever };
}
