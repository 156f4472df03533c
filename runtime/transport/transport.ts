// The real transport: Unix sockets inside a machine, gRPC between machines, behind one interface.

import { InvalidArgumentError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import { systemClock } from "../system.ts";
import { placeOf } from "./address.ts";
import type { Carrier } from "./carrier.ts";
import type { Admission, Address, Channel, ChannelHandler, DialOptions, Identity, Listener, Peer, Transport } from "./channel.ts";
import type { FrameChannel } from "./frame-channel.ts";
import { greet, receive } from "./hello.ts";
import { connectSocket, listenSocket, type PeerCredentials, type SocketOptions } from "./socket-channel.ts";

export interface SystemTransportOptions {
  readonly clock?: Clock;
  /** Given: a Unix socket refuses processes of other users. */
  readonly peerCredentials?: PeerCredentials;
  /** Told of every hello that was refused, for logs. */
  readonly refused?: (error: Error, peer: Peer) => void;
}

class SystemTransport implements Transport {
  readonly #clock: Clock;
  readonly #socket: SocketOptions;
  readonly #options: SystemTransportOptions;

  constructor(options: SystemTransportOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#socket = { clock: this.#clock, peerCredentials: options.peerCredentials };
  }

  async dial(address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions): Promise<Channel> {
    const place = placeOf(address);
    if (place.kind !== "unix") throw new InvalidArgumentError(`${address} cannot be dialled`);
    const began = this.#clock.now();
    let greeted: Promise<Channel> | undefined;
    await connectSocket(place.path, options.timeoutMs, this.#socket, (carrier) => {
      const left = Math.max(1, options.timeoutMs - (this.#clock.now() - began));
      greeted = this.#greet(carrier, address, identity, handler, { ...options, timeoutMs: left });
    });
    return greeted as Promise<Channel>;
  }

  async listen(address: Address, identity: Identity, admit: (peer: Peer) => Admission): Promise<Listener> {
    const place = placeOf(address);
    if (place.kind !== "unix") throw new InvalidArgumentError(`${address} cannot be listened at`);
    const channels = new Set<FrameChannel>();
    const server = await listenSocket(place.path, this.#socket, (carrier) => {
      const channel = receive(carrier, { identity, clock: this.#clock, admit, refused: this.#options.refused });
      channels.add(channel);
      channel.gone = () => channels.delete(channel);
    });
    return {
      address,
      close: async () => {
        const closed = server.close();
        for (const channel of [...channels]) channel.close(`the listener at ${address} closes`);
        await closed;
      },
    };
  }

  async #greet(
    carrier: Carrier, address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions,
  ): Promise<Channel> {
    let made!: Channel;
    await greet(carrier, identity, { ...options, clock: this.#clock }, address, (channel, { peer }) => {
      channel.become(peer, handler);
      made = channel;
    });
    return made;
  }
}

export function systemTransport(options: SystemTransportOptions = {}): Transport {
  return new SystemTransport(options);
}
