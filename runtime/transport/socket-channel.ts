// Framed Unix sockets: the way between processes of one machine.
//
// Reads go into one buffer for all sockets of this thread: a read is handled to its end before the next one starts, and whoever
// keeps bytes copies them. Writes go through a ByteSink. Sockets do not keep the process alive unless asked to.

import { chmodSync } from "node:fs";
import net from "node:net";
import { native, type Native } from "../../native/index.ts";
import { AuthenticationError, ConnectionError, failureOf, InvalidArgumentError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import { type ByteSink, SocketSink } from "./byte-sink.ts";
import type { Carrier, Receiver } from "./carrier.ts";
import { FRAME_MAX, tooLong } from "./frame.ts";
import { FrameSplitter } from "./frame-splitter.ts";
import type { LoopPoller } from "./loop-poller.ts";
import type { Failure } from "./messages.ts";
import { boundEnd, connectedWithin } from "./socket-ends.ts";

const READ_BYTES = 256 * 1024;
/** Strangers and peers together; beyond it connections are closed at once. */
const CONNECTIONS_MAX = 4_096;

/** Uid of the process at the other end of a Unix socket, from the operating system. */
export type PeerCredentials = (fd: number) => { readonly uid: number };

/** Undefined without the addon: then only the modes of sockets and their folders keep others out. */
export const systemCredentials: PeerCredentials | undefined = native === undefined ? undefined : credentialsOf(native);

function credentialsOf(addon: Native): PeerCredentials {
  return (fd) => ({ uid: addon.peerCredentials(fd)[1] });
}

export type MakeSink = (socket: net.Socket, fd: number, drained: () => void) => ByteSink;

export interface SocketOptions {
  readonly clock: Clock;
  readonly peerCredentials?: PeerCredentials;
  /** Absent: through net.Socket. */
  readonly makeSink?: MakeSink;
  readonly poller?: LoopPoller;
}

/** The parts of a socket's handle that have no public face. */
interface HandleOwner {
  _handle: { readonly fd: number } | null;
}

const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

export class SocketCarrier implements Carrier {
  receiver!: Receiver;
  frameMax = FRAME_MAX;
  readonly overhead = 0;
  #socket!: net.Socket;
  #sink!: ByteSink;
  readonly #clock: Clock;
  readonly #poller: LoopPoller | undefined;
  readonly #splitter = new FrameSplitter();
  #ended = false;
  #failure: Failure | undefined;

  constructor(options: SocketOptions) {
    this.#clock = options.clock;
    this.#poller = options.poller;
  }

  get late(): boolean {
    return this.#sink.late;
  }
  get pendingBytes(): number {
    return this.#sink.pendingBytes;
  }

  /** Options for the net.Socket this carrier reads from; `attach` must follow. */
  readonly onread = {
    buffer: readBuffer,
    callback: (length: number): boolean => {
      this.#read(length);
      return true;
    },
  };

  attach(socket: net.Socket, sink: ByteSink): void {
    this.#socket = socket;
    this.#sink = sink;
    socket.unref();
    socket.on("error", (error) => {
      this.#failure ??= failureOf(new ConnectionError(`the socket failed: ${error.message}`, {}, error));
    });
    // The other side closed its half. Whatever it wanted to say has been read.
    socket.on("end", () => this.#finish(undefined));
    socket.on("close", () => {
      this.#sink.close();
      this.#finish(this.#failure);
    });
  }

  write(bytes: Buffer, length: number, now: boolean): boolean {
    if (this.#ended) return false;
    this.#poller?.expect();
    return this.#sink.write(bytes, 0, length, now);
  }

  flush(): void {
    if (!this.#ended) this.#sink.flush();
  }

  hold(alive: boolean): void {
    if (alive) this.#socket.ref();
    else this.#socket.unref();
  }

  end(): void {
    if (this.#ended) return;
    // Reading goes on, and what comes is dropped: closing with unread bytes would break the other side before it has read the
    // goodbye. It closes its half as soon as it has.
    this.#ended = true;
    boundEnd(this.#socket, this.#clock, this.pendingBytes > 0);
    this.#sink.end();
  }

  destroy(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#finish(failure);
  }

  #finish(failure: Failure | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#socket.destroy();
    this.receiver.ended(failure);
  }

  #read(length: number): void {
    if (this.#ended) return;
    this.#poller?.arrived();
    const excess = this.#splitter.read(readBuffer, length, this.#frameMax, this.#take);
    if (this.#ended) return;
    if (excess === 0) return this.receiver.turn();
    this.#finish(tooLong(excess, this.frameMax));
  }

  readonly #frameMax = (): number => this.frameMax;
  readonly #take = (bytes: Buffer, start: number, end: number, owned: boolean): boolean => {
    this.receiver.frame(bytes, start, end, owned);
    return !this.#ended;
  };
}

export const plainSink: MakeSink = (socket, _fd, drained) => new SocketSink(socket, drained);

function attach(carrier: SocketCarrier, socket: net.Socket, options: SocketOptions): void {
  const fd = (socket as unknown as HandleOwner)._handle?.fd ?? -1;
  carrier.attach(socket, (options.makeSink ?? plainSink)(socket, fd, () => carrier.receiver.drained()));
}

/** Connects to a Unix socket. The hello is the caller's, at once, in the same turn. */
export function connectSocket(
  path: string, timeoutMs: number, options: SocketOptions, connected: (carrier: Carrier) => void,
): Promise<void> {
  const carrier = new SocketCarrier(options);
  const socket = net.connect({ path, onread: carrier.onread });
  return connectedWithin(timeoutMs, options.clock, socket, path, () => {
    const stranger = strangerAt(socket, options.peerCredentials);
    if (stranger !== undefined) return stranger;
    attach(carrier, socket, options);
    connected(carrier);
    return undefined;
  });
}

export interface SocketServer {
  close(): Promise<void>;
}

/** Listens at a path in an existing directory; only this user can connect. */
export function listenSocket(path: string, options: SocketOptions, accepted: (carrier: Carrier) => void): Promise<SocketServer> {
  const server = net.createServer({ pauseOnConnect: true }, (given) => {
    const refusal = strangerAt(given, options.peerCredentials);
    if (refusal !== undefined) return void given.destroy();
    const carrier = new SocketCarrier(options);
    attach(carrier, readInto(given, carrier), options);
    accepted(carrier);
  });
  server.maxConnections = CONNECTIONS_MAX;
  return bindUnix(server, path);
}

/** Binds a server to a path that only this user can connect to. Shared with gRPC over Unix sockets. */
export function bindUnix(server: net.Server, path: string): Promise<SocketServer> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(new InvalidArgumentError(`cannot listen at ${path}: ${error.message}`, {}, error)));
    server.listen(path, () => {
      chmodSync(path, 0o600);
      server.unref();
      resolve({ close: () => new Promise((closed) => server.close(() => closed())) });
    });
  });
}

/** Why the process at the other end must not talk to this one. */
export function strangerAt(socket: net.Socket, peerCredentials: PeerCredentials | undefined): AuthenticationError | undefined {
  const own = process.getuid?.();
  const fd = (socket as unknown as HandleOwner)._handle?.fd;
  if (peerCredentials === undefined || own === undefined || fd === undefined) return undefined;
  const { uid } = peerCredentials(fd);
  if (uid === own) return undefined;
  return new AuthenticationError(`the process at the other end of a Unix socket belongs to user ${uid}, this one to user ${own}`);
}

/** The same connection as a socket that reads into our buffer, which only a constructor can ask for. */
function readInto(given: net.Socket, carrier: SocketCarrier): net.Socket {
  const owner = given as unknown as HandleOwner;
  const handle = owner._handle;
  owner._handle = null;
  const socket = new net.Socket({ handle, onread: carrier.onread, readable: true, writable: true } as net.SocketConstructorOpts);
  // The server counts its connections by the sockets it made.
  socket.once("close", () => given.destroy());
  return socket;
}
