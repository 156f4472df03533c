// A channel carries messages of the wire contract between two processes, in order, both ways.
//
// Four kinds share this interface and one conformance suite: memory (tests, simulation, the head inside a private cluster's
// host), framed Unix socket (inside a machine), gRPC stream (between machines), relay (between processes on different machines,
// through their agents). A channel that ends says why, once; nothing is delivered after that.

import type { Place } from "./carrier.ts";
import type { Answer, Failure, MessageName, MessageOf, SendOf } from "./messages.ts";

export type ProcessKind = "head" | "agent" | "worker" | "driver" | "command";

/** Who is at the other end, as its hello said. Fixed for the life of the channel. */
export interface Peer {
  readonly kind: ProcessKind;
  readonly processId: string;
  readonly nodeId: string;
  readonly clusterId: string;
  readonly pid: number;
  readonly release: string;
  /** Kind-specific registration bytes of the hello (to who listens) or of the welcome (to who dialled). */
  readonly details: Uint8Array;
}

/** One function a message name. A message without one breaks the channel: the peers do not speak the same contract. */
export type MessageHandlers = {
  readonly [N in MessageName]?: (body: MessageOf<N>, channel: Channel) => void;
};

export interface ChannelHandler {
  readonly messages: MessageHandlers;
  /** Where so many bytes of that answer go, if not into memory of their own. */
  place?(answer: Answer, length: number, channel: Channel): Place | undefined;
  /** After each batch that arrived together, so that what it caused can be done once. */
  onTurn?(channel: Channel): void;
  /** `bufferedBytes` had risen above 1 MiB and has fallen below 256 KiB again. */
  onDrain?(channel: Channel): void;
  /** The connection under it broke: it may be bridged yet. Only where channels outlive connections. */
  onBroken?(channel: Channel): void;
  /** Exactly once. `failure` is undefined after an orderly goodbye, else says what broke. */
  onClose(channel: Channel, failure: Failure | undefined): void;
}

export interface Channel {
  readonly peer: Peer;
  readonly open: boolean;
  /** Bytes accepted by `send` and not yet taken by the operating system: the sender's brake. */
  readonly bufferedBytes: number;
  /**
   * Queues a message. The first four of a turn leave at once, later ones when 32 KiB are full or the turn ends. The body is
   * encoded before this returns. After the end it does nothing: onClose says so. A body that cannot be encoded is an
   * InvalidArgumentError. With `left` the bytes of a chunk may be sent from where they lie: it is called, once, when they may
   * change.
   */
  send<N extends MessageName>(name: N, body: SendOf<N>, left?: () => void): void;
  /** Sends what is queued now. */
  flush(): void;
  /** Keeps (true) or does not keep (false, the default) the process alive while the channel is open. */
  hold(alive: boolean): void;
  /** Says goodbye, sends what is queued, ends. Idempotent. */
  close(reason?: string): void;
  /** Ends at once, with what onClose is to say: nothing queued is sent, and nothing more is read. Idempotent. */
  break(failure: Failure): void;
}

/** What this process says of itself in a hello or a welcome. */
export interface Identity {
  readonly kind: ProcessKind;
  readonly processId: string;
  readonly nodeId: string;
  /** "" for who joins by an address alone, until it is in. */
  clusterId: string;
  /** Secret of the cluster; required of every dialler. Never logged. */
  readonly token: string;
}

/** Where a process can be reached: `unix:/path`, `tcp:host:port`, or `memory:name` (tests and simulation). */
export type Address = string;

export interface DialOptions {
  readonly details?: Uint8Array;
  /** Bound for connecting and the hello together. */
  readonly timeoutMs: number;
  /** To another machine: over a connection of its own, which the channel ends with, if there is a way to make one. */
  readonly direct?: boolean;
}

export interface Admitted {
  readonly handler: ChannelHandler;
  /** Kind-specific bytes for the welcome. */
  readonly details?: Uint8Array;
  /** It may come over a direct connection. */
  readonly direct?: boolean;
  /** Right after the welcome was sent, before any message of the peer is handled. */
  readonly accepted?: (channel: Channel) => void;
}

/** The listener's answer to a hello: take it, with a handler and bytes for the welcome, or refuse it. */
export type Admission = Admitted | { readonly refused: Failure };

export interface Listener {
  /** The address to dial, with the real port when port 0 was asked for. */
  readonly address: Address;
  /** Stops accepting and closes every channel it accepted. Idempotent. A listener does not keep the process alive. */
  close(): Promise<void>;
}

/** The seam: real processes use sockets and gRPC, the simulator memory. */
export interface Transport {
  dial(address: Address, identity: Identity, handler: ChannelHandler, options: DialOptions): Promise<Channel>;
  /** `admit` runs once a hello passed the checks of version, cluster id and token. */
  listen(address: Address, identity: Identity, admit: (peer: Peer) => Admission): Promise<Listener>;
  /** True only when the machine at the address says that nobody listens there. */
  isDeserted?(address: Address): Promise<boolean>;
}
