// gRPC: one bidirectional stream `Link.Open` a channel, each of its messages one Frame. The way between machines.
//
// @grpc/grpc-js is loaded on first need only. The token is checked in the stream's metadata, before any byte of its body is
// taken; streams, connections, message sizes and the time to a hello are capped; between machines, keepalive is on in both
// directions. There is no TLS here yet, so addresses beyond this machine are refused unless the caller declares the network
// trusted.

import net from "node:net";
import type * as grpc from "@grpc/grpc-js";
import { AuthenticationError, ConnectionError, failureOf, InvalidArgumentError, type TroupeError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import { addressOf, type Place, refuseExposure } from "./address.ts";
import type { Address } from "./channel.ts";
import type { Carrier, Receiver } from "./carrier.ts";
import { sortConnection } from "./direct-channel.ts";
import { FRAME_MAX, PREFIX, tooLong } from "./frame.ts";
import { HELLO_WITHIN_MS, sameToken } from "./hello.ts";
import { Hold } from "./hold.ts";
import type { Failure } from "./messages.ts";
import { bindUnix, type PeerCredentials, strangerAt } from "./socket-channel.ts";

const OPEN = "/troupe.v1.Link/Open";
const TOKEN_KEY = "troupe-token";
const END_WITHIN_MS = 2_000;
const CONNECTIONS_MAX = 1_024;
/** A peer uses one stream a connection. */
const STREAMS_MAX = 100;
/** A silent connection is probed after the first and given up after the second: 8 s to a dead peer. */
const KEEPALIVE_MS = 5_000;
const KEEPALIVE_WITHIN_MS = 3_000;
/** HTTP/2 flow control: enough for a chunk of 8 MiB without a stall a round trip. */
const WINDOW_BYTES = 8 * 1024 * 1024;
/** Frames from here on are handed over instead of copied. */
const HAND_OVER_FROM = 16 * 1024;

const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": FRAME_MAX,
  "grpc.max_send_message_length": FRAME_MAX,
  "grpc.enable_channelz": 0,
  "grpc-node.flow_control_window": WINDOW_BYTES,
};

/** Inside a machine the operating system tells the death of a peer, and one whose loop is blocked by user code is not dead. */
function channelOptions(place: Place): grpc.ChannelOptions {
  if (place.kind === "unix") return CHANNEL_OPTIONS;
  return {
    ...CHANNEL_OPTIONS, "grpc.keepalive_time_ms": KEEPALIVE_MS, "grpc.keepalive_timeout_ms": KEEPALIVE_WITHIN_MS,
    "grpc.keepalive_permit_without_calls": 1,
  };
}

export interface GrpcOptions {
  readonly clock: Clock;
  readonly peerCredentials?: PeerCredentials;
  /** True: plain text beyond this machine is the caller's explicit wish. */
  readonly trustedNetwork?: boolean;
  /** Takes connections to a port that say that they are not for gRPC. Absent: there are none. */
  readonly direct?: ((socket: net.Socket) => void) | undefined;
  /** Told of every stream without the token. */
  readonly refused?: (error: TroupeError, peer: undefined) => void;
}

const same = (bytes: Buffer): Buffer => bytes;

type FrameStream = grpc.ClientDuplexStream<Buffer, Buffer> | grpc.ServerDuplexStream<Buffer, Buffer>;

class GrpcCarrier implements Carrier {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly late = false;
  readonly overhead = 0;
  pendingBytes = 0;
  readonly #stream: FrameStream;
  readonly #clock: Clock;
  readonly #hold: Hold;
  readonly #abort: (text: string) => void;
  readonly #release: () => void;
  #ended = false;
  #over = false;

  /** `abort` ends the stream by force; `release` frees what belongs to it, once, when it is over. */
  constructor(stream: FrameStream, clock: Clock, abort: (text: string) => void, release: () => void) {
    this.#stream = stream;
    this.#clock = clock;
    this.#hold = new Hold(clock);
    this.#abort = abort;
    this.#release = release;
    stream.on("data", (frame: Buffer) => this.#take(frame));
    stream.on("end", () => {
      this.#stream.end();
      this.#finish(undefined);
      this.#close();
    });
  }

  write(bytes: Buffer, length: number): boolean {
    if (this.#ended) return false;
    const whole = bytes.subarray(PREFIX, length);
    const kept = whole.length >= HAND_OVER_FROM;
    this.pendingBytes += whole.length;
    this.#stream.write(kept ? whole : Buffer.from(whole), () => {
      this.pendingBytes -= whole.length;
      if (!this.#ended) this.receiver.drained();
    });
    return kept;
  }

  flush(): void {}

  hold(alive: boolean): void {
    if (!this.#ended) this.#hold.set(alive);
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    // Held until the goodbye has left: the process may end right after it.
    this.#hold.set(true);
    this.#stream.end();
    const timer = this.#clock.after(END_WITHIN_MS, () => {
      this.#abort("the end was not confirmed in time");
      this.#close();
    });
    this.#closing = () => timer.cancel();
  }

  destroy(failure: Failure | undefined): void {
    this.#finish(failure);
    this.#abort(failure?.text ?? "closed");
    this.#close();
  }

  /** The stream broke, or ended with a status. */
  broke(failure: Failure | undefined): void {
    this.#finish(failure);
    this.#close();
  }

  #closing: (() => void) | undefined;

  #take(frame: Buffer): void {
    if (this.#ended) return;
    if (frame.length > this.frameMax) {
      return this.destroy(tooLong(frame.length, this.frameMax));
    }
    this.receiver.frame(frame, 0, frame.length, true);
    if (!this.#ended) this.receiver.turn();
  }

  #finish(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.receiver.ended(failure);
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#closing?.();
    this.#hold.set(false);
    this.#release();
  }
}

// -- dialling ----------------------------------------------------------------------------------------------------------

/** Opens a stream. The hello is the caller's; the connection is made while it waits. */
export async function connectGrpc(place: Place, token: string, options: GrpcOptions): Promise<Carrier> {
  refuseExposure(place, options.trustedNetwork, "Dialling");
  const library = await import("@grpc/grpc-js");
  const target = place.kind === "unix" ? `unix:${place.path}` : addressOf(place).slice("tcp:".length);
  const { credentials, unref } = insecureCredentials(library);
  const client = new library.Client(target, credentials, {
    ...channelOptions(place), "grpc.use_local_subchannel_pool": 1, "grpc.enable_retries": 0, "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
  });
  const metadata = new library.Metadata();
  metadata.set(TOKEN_KEY, token);
  const stream = client.makeBidiStreamRequest<Buffer, Buffer>(OPEN, same, same, metadata);
  const carrier = new GrpcCarrier(stream, options.clock, () => stream.cancel(), () => client.close());
  stream.on("metadata", unref);
  stream.on("error", (error: grpc.ServiceError) => carrier.broke(failureOf(errorOfStatus(library, error, addressOf(place)))));
  return carrier;
}

/**
 * Credentials that remember the socket: grpc-js keeps the process alive while a stream is open, and whether it does is ours to
 * say. `unref` undoes it once the stream is open.
 */
function insecureCredentials(library: typeof grpc): { credentials: grpc.ChannelCredentials; unref: () => void } {
  const credentials = library.credentials.createInsecure();
  const sockets: net.Socket[] = [];
  const makeConnector = credentials._createSecureConnector.bind(credentials);
  credentials._createSecureConnector = (target, channelOptions, callCredentials) => {
    const connector = makeConnector(target, channelOptions, callCredentials);
    const connect = connector.connect.bind(connector);
    connector.connect = (socket) => {
      sockets.push(socket);
      return connect(socket);
    };
    return connector;
  };
  return { credentials, unref: () => sockets.forEach((socket) => socket.unref()) };
}

function errorOfStatus(library: typeof grpc, error: grpc.ServiceError, target: Address): TroupeError {
  if (error.code === library.status.UNAUTHENTICATED) return new AuthenticationError(error.details);
  const name = library.status[error.code] ?? String(error.code);
  const details = error.details.replace(/\.? Resolution note:\s*$/, "");
  // What the operating system said is only in the text.
  const errno = /\bconnect (E[A-Z]+)\b/.exec(details)?.[1];
  const fields = errno === undefined ? {} : { errno };
  return new ConnectionError(`the connection to ${target} failed: ${details} (${name})`, fields, error);
}

// -- listening ---------------------------------------------------------------------------------------------------------

export interface GrpcServer {
  /** With the real port. */
  readonly place: Place;
  close(): Promise<void>;
}

/** The one service of a process, as gRPC describes it. */
export const LINK_SERVICE = {
  Open: {
    path: OPEN, requestStream: true, responseStream: true,
    requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same,
  },
} as const;

/** Serves streams at a place. `accepted` runs for each stream that carried the token. */
export async function listenGrpc(
  place: Place, token: string, options: GrpcOptions, accepted: (carrier: Carrier) => void,
): Promise<GrpcServer> {
  refuseExposure(place, options.trustedNetwork, "Listening at");
  const library = await import("@grpc/grpc-js");
  const server = new library.Server({
    ...channelOptions(place), "grpc.max_concurrent_streams": STREAMS_MAX, "grpc.max_connection_idle_ms": HELLO_WITHIN_MS,
    interceptors: [authenticate(library, token, options.refused)],
  });
  server.addService(LINK_SERVICE, {
    Open: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => accepted(serverCarrier(library, call, options.clock)),
  });
  const injector = server.createConnectionInjector(library.ServerCredentials.createInsecure());
  const sockets = new Set<net.Socket>();
  // Our own listener in front: connections are capped, checked, and do not keep the process alive.
  const front = net.createServer((socket) => {
    if (place.kind === "unix" && strangerAt(socket, options.peerCredentials) !== undefined) return void socket.destroy();
    sockets.add(socket);
    socket.unref();
    socket.setNoDelay(true);
    // Node crashes on some malformed frames unless somebody listens.
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
    const grpc = (taken: net.Socket): void => injector.injectConnection(taken);
    if (options.direct === undefined) grpc(socket);
    else sortConnection(socket, options.clock, { grpc, direct: options.direct });
  });
  front.maxConnections = CONNECTIONS_MAX;
  const bound = place.kind === "unix" ? await bindUnix(front, place.path) : await bindTcp(front, place.host, place.port);
  return {
    place: place.kind === "unix" ? place : { ...place, port: (front.address() as net.AddressInfo).port },
    async close() {
      const closed = bound.close();
      injector.drain(END_WITHIN_MS);
      await within(options.clock, END_WITHIN_MS, sockets);
      injector.destroy();
      server.forceShutdown();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Waits until every connection is gone, at most `boundMs`. */
function within(clock: Clock, boundMs: number, sockets: Set<net.Socket>): Promise<void> {
  if (sockets.size === 0) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = clock.after(boundMs, resolve, true);
    for (const socket of sockets) {
      socket.once("close", () => {
        if (sockets.size > 0) return;
        timer.cancel();
        resolve();
      });
    }
  });
}

function bindTcp(server: net.Server, host: string, port: number): Promise<{ close(): Promise<void> }> {
  return new Promise((resolve, reject) => {
    const address = addressOf({ kind: "tcp", host, port });
    server.once("error", (error) => reject(new InvalidArgumentError(`cannot listen at ${address}: ${error.message}`, {}, error)));
    server.listen({ host, port }, () => {
      server.unref();
      resolve({ close: () => new Promise((closed) => server.close(() => closed())) });
    });
  });
}

function serverCarrier(library: typeof grpc, call: grpc.ServerDuplexStream<Buffer, Buffer>, clock: Clock): Carrier {
  const abort = (text: string): void => void call.emit("error", { code: library.status.ABORTED, details: text });
  const carrier = new GrpcCarrier(call, clock, abort, () => {});
  const broke = (text: string, cause?: Error): void => carrier.broke(failureOf(new ConnectionError(text, {}, cause)));
  call.on("error", (error: Error) => broke(`the stream failed: ${error.message}`, error));
  call.on("cancelled", () => broke("the connection of the other side broke"));
  // Tells the dialler that the stream is open before the first frame.
  call.sendMetadata(new library.Metadata());
  return carrier;
}

/** Ends every stream without the token, before its handler or its body is looked at. */
function authenticate(library: typeof grpc, token: string, refused: GrpcOptions["refused"]): grpc.ServerInterceptor {
  return (_method, call) => new library.ServerInterceptingCall(call, {
    start: (next) => next({
      onReceiveMetadata: (metadata, pass) => {
        const [given] = metadata.get(TOKEN_KEY);
        if (typeof given === "string" && sameToken(given, token)) {
          metadata.remove(TOKEN_KEY);
          return pass(metadata);
        }
        const error = new AuthenticationError(
          given ? "The token given is not this cluster's" : "This cluster requires its token, and none was given",
        );
        refused?.(error, undefined);
        call.sendStatus({ code: library.status.UNAUTHENTICATED, details: error.message });
      },
    }),
  });
}
