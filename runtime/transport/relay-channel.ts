// Relayed channels: between processes on different machines, which never connect to each other.
//
// Each frame travels inside a `relay` message over the channel a process has to its own agent; the agents pass it on without
// looking inside. Both ends run the ordinary hello. A RelayHub belongs to one process; the channel to its agent may be
// replaced, but what was under way on the old one is lost, so every relayed channel ends with it.

import { ConnectionError, failureOf, InvalidArgumentError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { Admission, Channel, ChannelHandler, DialOptions, Identity, Peer } from "./channel.ts";
import type { Carrier, Receiver } from "./carrier.ts";
import { FRAME_MAX, HELLO_FRAME_MAX, PREFIX, tooLong } from "./frame.ts";
import type { FrameChannel } from "./frame-channel.ts";
import { greet, receive } from "./hello.ts";
import { Hold } from "./hold.ts";
import type { Failure, Relay, RelayClosed } from "./messages.ts";

/** Room for the envelope of the relay message around a frame. */
const ENVELOPE = 128 * 1024;
const CHANNELS_MAX = 65_536;

interface Route {
  /** Of the process at the other end. */
  readonly process: string;
  readonly node: string;
  readonly link: number;
  /** True when this side opened it. */
  readonly opener: boolean;
}
const keyOf = (process: string, link: number, opener: boolean): string => `${opener ? "out" : "in"} ${process} ${link}`;

class RelayCarrier implements Carrier {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = ENVELOPE;
  readonly route: Route;
  readonly #hub: RelayHub;
  readonly #hold: Hold;
  #ended = false;

  constructor(hub: RelayHub, route: Route, clock: Clock) {
    this.#hub = hub;
    this.route = route;
    this.#hold = new Hold(clock);
  }

  /** All relayed channels share the brake of the channel they travel on. */
  get pendingBytes(): number {
    return this.#hub.via?.bufferedBytes ?? 0;
  }

  write(bytes: Buffer, length: number): boolean {
    if (this.#ended) return false;
    this.#hub.via?.send("relay", { ...this.#envelope(), frame: bytes.subarray(PREFIX, length) });
    return false;
  }

  flush(): void {
    this.#hub.via?.flush();
  }

  hold(alive: boolean): void {
    if (!this.#ended) this.#hold.set(alive);
  }

  end(): void {
    this.#leave();
  }

  destroy(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#leave();
    this.#hub.via?.send("relayClosed", { ...this.#envelope(), failure });
    this.receiver.ended(failure);
  }

  take(frame: Uint8Array): void {
    if (this.#ended) return;
    if (frame.length > this.frameMax) {
      return this.destroy(tooLong(frame.length, this.frameMax));
    }
    // `frame` was copied or is a view of a frame nobody writes into again.
    this.receiver.frame(Buffer.from(frame.buffer, frame.byteOffset, frame.length), 0, frame.length, true);
    if (!this.#ended) this.receiver.turn();
  }

  broke(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#leave();
    this.receiver.ended(failure);
  }

  #leave(): void {
    this.#ended = true;
    this.#hold.set(false);
    this.#hub.left(this);
  }

  #envelope(): { to: string; toNode: string; from: string; fromNode: string; link: number; opener: boolean } {
    const { process, node, link, opener } = this.route;
    const { processId, nodeId } = this.#hub.identity;
    return { to: process, toNode: node, from: processId, fromNode: nodeId, link, opener };
  }
}

export interface RelayHubOptions {
  readonly identity: Identity;
  readonly clock: Clock;
  /** For channels that other processes open to this one. */
  readonly admit: (peer: Peer) => Admission;
}

export class RelayHub {
  readonly identity: Identity;
  readonly #clock: Clock;
  readonly #admit: (peer: Peer) => Admission;
  readonly #carriers = new Map<string, RelayCarrier>();
  #via: Channel | undefined;
  #lastLink = 0;

  constructor(options: RelayHubOptions) {
    this.identity = options.identity;
    this.#clock = options.clock;
    this.#admit = options.admit;
  }

  /** The channel to this process's agent. */
  get via(): Channel | undefined {
    return this.#via;
  }

  /** From now on relays travel over `via`. */
  connect(via: Channel): void {
    if (this.#via !== undefined && this.#via !== via) this.disconnect(failureOf(new ConnectionError("the agent was replaced")));
    this.#via = via;
  }

  /** The channel to the agent is gone, and every relayed channel with it. */
  disconnect(failure: Failure | undefined): void {
    this.#via = undefined;
    for (const carrier of [...this.#carriers.values()]) carrier.broke(failure);
  }

  /** Opens a channel to a process of another machine. */
  async open(toProcess: string, toNode: string, handler: ChannelHandler, options: DialOptions): Promise<Channel> {
    if (this.#via === undefined) throw new ConnectionError(`${toProcess} cannot be reached: this process has no agent`);
    if (this.#carriers.size >= CHANNELS_MAX) throw new InvalidArgumentError(`${CHANNELS_MAX} relayed channels are open already`);
    const carrier = this.#make({ process: toProcess, node: toNode, link: ++this.#lastLink, opener: true });
    let made!: Channel;
    await greet(carrier, this.identity, { ...options, clock: this.#clock }, `process ${toProcess}`, (channel, { peer }) => {
      channel.become(peer, handler);
      made = channel;
    });
    return made;
  }

  /** For `messages.relay`. */
  deliver(relay: Relay): void {
    const key = keyOf(relay.from, relay.link, !relay.opener);
    let carrier = this.#carriers.get(key);
    if (carrier === undefined) {
      if (!relay.opener) return;
      const accepted = this.#accept(relay);
      if (accepted === undefined) return;
      carrier = accepted;
    }
    carrier.take(relay.frame);
  }

  /** For `messages.relayClosed`: the other end, or an agent that did not reach it, ends one channel or (link 0) all of them. */
  closed(closed: RelayClosed): void {
    const failure = closed.failure ?? failureOf(new ConnectionError(`process ${closed.from} closed the relayed channel`));
    if (closed.link !== 0) return this.#carriers.get(keyOf(closed.from, closed.link, !closed.opener))?.broke(failure);
    for (const carrier of [...this.#carriers.values()]) if (carrier.route.process === closed.from) carrier.broke(failure);
  }

  /** Called by its carriers. */
  left(carrier: RelayCarrier): void {
    const { process, link, opener } = carrier.route;
    this.#carriers.delete(keyOf(process, link, opener));
  }

  /** A frame of an unknown channel opens one only if it can hold a hello; what follows a closed channel's end cannot. */
  #accept(relay: Relay): RelayCarrier | undefined {
    if (this.#carriers.size >= CHANNELS_MAX || relay.frame.length > HELLO_FRAME_MAX) return undefined;
    const carrier = this.#make({ process: relay.from, node: relay.fromNode, link: relay.link, opener: false });
    const channel: FrameChannel = receive(carrier, { identity: this.identity, clock: this.#clock, admit: this.#admit });
    return channel.open ? carrier : undefined;
  }

  #make(route: Route): RelayCarrier {
    const carrier = new RelayCarrier(this, route, this.#clock);
    this.#carriers.set(keyOf(route.process, route.link, route.opener), carrier);
    return carrier;
  }
}
