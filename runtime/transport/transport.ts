// The real transport: Unix sockets inside a machine, gRPC between machines, behind one interface.
//
//   unix:/path      framed socket; in mode "grpc" a plain gRPC stream over the same socket
//   tcp:host:port   a resumable link over gRPC; on request a direct connection, of TCP alone, to the same port

import type { Socket } from "node:net";
import type { Porters } from "../../native/index.ts";
import type { Clock, Random } from "../seams.ts";
import { systemClock, systemRandom } from "../system.ts";
import { addressOf, placeOf, type Place } from "./address.ts";
import type { Carrier } from "./carrier.ts";
import type { Cuts } from "./cuts.ts";
import { acceptDirect, connectDirect } from "./direct-channel.ts";
import type { Admission, Address, Channel, ChannelHandler, DialOptions, Identity, Listener, Peer, Transport } from "./channel.ts";
import type { FrameChannel } from "./frame-channel.ts";
import { greet, type Host, onlyDirect, receive } from "./hello.ts";
import { dialLink, LinkSessions, type LinkSettings } from "./link-session.ts";
import { LoopPoller } from "./loop-poller.ts";
import { systemPorters } from "./porters.ts";
import { isDeserted } from "./probe.ts";
import { connectSocket, listenSocket, type MakeSink, type PeerCredentials, systemCredentials } from "./socket-channel.ts";

/** A link without a connection for this long is lost: the time after which a silent machine counts as dead. */
const LOSE_AFTER_MS = 10_000;

export interface SystemTransportOptions {
  readonly clock?: Clock;
  readonly random?: Random;
  /** "grpc": Unix sockets carry gRPC too. Default "auto", unless TROUPE_TRANSPORT says grpc. */
  readonly mode?: "auto" | "grpc";
  /** Who is at the other end of a Unix socket: processes of other users are refused. Default: what the system says. */
  readonly peerCredentials?: PeerCredentials;
  /** Where the bytes of Unix sockets go. Absent: net.Socket. */
  readonly makeSink?: MakeSink;
  /** Carry large bytes of direct connections. Default: those of the addon; undefined: the loop does. */
  readonly porters?: Porters | undefined;
  /** False: a thread that awaits an answer over a Unix socket sleeps at once. Default true, unless TROUPE_POLL is 0. */
  readonly poll?: boolean;
  /** Allows plain text to and from other machines. Only for networks that nobody else can reach. */
  readonly trustedNetwork?: boolean;
  /** What a test loses between machines. */
  readonly cuts?: Cuts | undefined;
  /** How long a channel between machines lives without a connection. */
  readonly loseAfterMs?: number;
  /** Told of every hello or stream that was refused, for logs. The peer is what it claimed to be, if it said so. */
  readonly refused?: (error: Error, peer: Peer | undefined) => void;
}

/** Channels accepted and still open. */
class Accepted {
  readonly #channels = new Set<FrameChannel>();

  add(channel: FrameChannel): void {
    this.#channels.add(channel);
    channel.gone = () => void this.#channels.delete(channel);
  }

  close(reason: string): void {
    for (const channel of [...this.#channels]) channel.close(reason);
  }
}

class SystemTransport implements Transport {
  readonly #options: SystemTransportOptions & LinkSettings & { readonly poller: LoopPoller };
  readonly #everywhereGrpc: boolean;

  constructor(options: SystemTransportOptions) {
    const clock = options.clock ?? systemClock;
    const poller = new LoopPoller(clock, options.poll ?? process.env.TROUPE_POLL !== "0");
    this.#options = {
      random: systemRandom, loseAfterMs: LOSE_AFTER_MS, peerCredentials: systemCredentials, porters: systemPorters, ...options,
      clock, poller,
    };
    this.#everywhereGrpc = (options.mode ?? process.env.TROUPE_TRANSPORT) === "grpc";
  }

  async dial(address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions): Promise<Channel> {
    const place = placeOf(address);
    if (place.kind === "unix" && !this.#everywhereGrpc) return this.#dialSocket(place.path, address, identity, handler, options);
    if (place.kind === "tcp" && options.direct && !this.#everywhereGrpc) {
      await this.#options.cuts?.dialled(address, options.timeoutMs);
      return this.#connected(address, identity, handler, options, (timeoutMs, connected) => (
        connectDirect(place, timeoutMs, this.#options, connected)
      ));
    }
    const { connectGrpc } = await import("./grpc-channel.ts");
    const connect = (): Promise<Carrier> => connectGrpc(place, identity.token, this.#options);
    // On gRPC the token is in the stream's metadata only.
    const tokenless = { ...identity, token: "" };
    if (place.kind === "tcp") return dialLink(connect, tokenless, address, handler, options, this.#options);
    return this.#greet(await connect(), address, tokenless, handler, options);
  }

  async listen(address: Address, identity: Identity, admit: (peer: Peer) => Admission): Promise<Listener> {
    const place = placeOf(address);
    const { clock, refused, cuts } = this.#options;
    const accepted = new Accepted();
    if (place.kind === "unix" && !this.#everywhereGrpc) {
      const host: Host = { identity, clock, admit, refused };
      const server = await listenSocket(place.path, this.#options, (carrier) => accepted.add(receive(carrier, host)));
      return listenerOf(place, [accepted], server);
    }
    const { listenGrpc } = await import("./grpc-channel.ts");
    const sessions = new LinkSessions(this.#options, admit);
    const host: Host = {
      identity, clock, admit, refused, authenticated: true, session: (peer, session) => sessions.find(peer, session),
      isLost: (peer) => cuts?.of(peer.nodeId) !== undefined,
    };
    const direct = place.kind === "unix" || this.#everywhereGrpc ? undefined : (socket: Socket): void => {
      const { carrier, begin } = acceptDirect(socket, this.#options);
      const gate = (gated: Carrier, node: string): Carrier => cuts?.gate(gated, node) ?? gated;
      accepted.add(receive(carrier, { ...host, authenticated: false, session: undefined, admit: onlyDirect(admit), gate }));
      begin();
    };
    const options = { ...this.#options, direct };
    const server = await listenGrpc(place, identity.token, options, (carrier) => accepted.add(receive(carrier, host)));
    return listenerOf(server.place, [sessions, accepted], server);
  }

  isDeserted(address: Address): Promise<boolean> {
    return isDeserted(address);
  }

  #dialSocket(
    path: string, address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions,
  ): Promise<Channel> {
    return this.#connected(address, identity, handler, options, (timeoutMs, connected) => (
      connectSocket(path, timeoutMs, this.#options, connected)
    ));
  }

  /** Over a connection that is made now: the hello leaves in the turn in which it is there. */
  async #connected(
    address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions,
    connect: (timeoutMs: number, connected: (carrier: Carrier) => void) => Promise<void>,
  ): Promise<Channel> {
    const { clock } = this.#options;
    const began = clock.now();
    let greeted: Promise<Channel> | undefined;
    await connect(options.timeoutMs, (carrier) => {
      const timeoutMs = Math.max(1, options.timeoutMs - (clock.now() - began));
      greeted = this.#greet(carrier, address, identity, handler, { ...options, timeoutMs });
    });
    return greeted as Promise<Channel>;
  }

  async #greet(
    carrier: Carrier, address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions,
  ): Promise<Channel> {
    const { clock, cuts } = this.#options;
    let made!: Channel;
    await greet(carrier, identity, { ...options, clock }, address, (channel, { peer }) => {
      const gate = cuts && ((gated: Carrier) => cuts.gate(gated, peer.nodeId));
      channel.become(peer, handler, options.direct ? gate : undefined);
      made = channel;
    });
    return made;
  }
}

function listenerOf(
  place: Place, holders: readonly { close(reason: string): void }[], server: { close(): Promise<void> },
): Listener {
  const address = addressOf(place);
  let closing: Promise<void> | undefined;
  return {
    address,
    close: () => {
      if (closing !== undefined) return closing;
      for (const holder of holders) holder.close(`the listener at ${address} closes`);
      closing = server.close();
      return closing;
    },
  };
}

export function systemTransport(options: SystemTransportOptions = {}): Transport {
  return new SystemTransport(options);
}
