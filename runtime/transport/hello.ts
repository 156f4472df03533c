// The hello: how two processes make sure of each other before anything else passes between them.
//
//   dialler                               listener
//   Hello {version, who, token, cluster}  ──▶  checks version, token, cluster id, then asks `admit`
//   Welcome {version, who}  or Refused    ◀──
//
// Every step is bounded. A refusal is typed and says the same on both sides. The token is compared in constant time and never
// appears in a text.

import { createHash, timingSafeEqual } from "node:crypto";
import {
  AuthenticationError, ConnectionError, DeadlineError, errorOf, failureOf, InvalidArgumentError, type TroupeError,
  VersionMismatchError,
} from "../errors.ts";
import { RELEASE } from "../release.ts";
import type { Clock } from "../seams.ts";
import type { Admission, Admitted, Channel, DialOptions, Identity, Peer, ProcessKind } from "./channel.ts";
import type { Carrier } from "./carrier.ts";
import { FrameChannel } from "./frame-channel.ts";
import { HELLO_FRAME_MAX } from "./frame.ts";
import { type Failure, type Hello, PROTOCOL_VERSION, type Refused, type SendOf, type Welcome } from "./messages.ts";

/** Bound on a stranger: from the connection to an accepted hello. */
export const HELLO_WITHIN_MS = 10_000;

const KINDS: readonly (ProcessKind | undefined)[] = [undefined, "head", "agent", "worker", "driver", "command"];
const NO_DETAILS = new Uint8Array(0);

/** True when both are the same non-empty secret. Takes as long whichever way they differ. */
export function sameToken(given: string, expected: string): boolean {
  const hash = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(given), hash(expected)) && expected.length > 0;
}

/** A session that is to be resumed, or begun: what a link adds to the hello. */
export interface SessionHello {
  readonly epoch: number;
  /** Highest frame received so far; 0 in a new session. */
  readonly received: number;
  readonly resumes: boolean;
}
export const NO_SESSION: SessionHello = Object.freeze({ epoch: 0, received: 0, resumes: false });

const unknownPeer = (kind: ProcessKind): Peer =>
  ({ kind, processId: "", nodeId: "", clusterId: "", pid: 0, release: "", details: NO_DETAILS });

function peerOf(said: Hello | Welcome): Peer {
  const { processId, nodeId, clusterId, release, details, pid } = said;
  return { kind: KINDS[said.kind] as ProcessKind, processId, nodeId, clusterId, release, details, pid };
}

const versionMismatch = (theirs: { protocolVersion: number; release: string }): VersionMismatchError =>
  new VersionMismatchError(
    `This process speaks protocol ${PROTOCOL_VERSION} (release ${RELEASE}), the other one protocol ${theirs.protocolVersion} ` +
      `(release ${theirs.release || "unknown"}). Install the same release on both sides.`,
    {
      protocolVersion: PROTOCOL_VERSION, release: RELEASE,
      peerProtocolVersion: theirs.protocolVersion, peerRelease: theirs.release,
    },
  );

// -- who dials ---------------------------------------------------------------------------------------------------------

export interface Greeting {
  readonly peer: Peer;
  /** Highest frame of a resumed session that the listener has received. */
  readonly received: number;
}

/**
 * Says hello over a new carrier. `welcomed` runs in the same turn as the welcome arrives, before anything that follows it, and
 * takes the channel over. The promise rejects with the typed refusal, or with what broke the attempt.
 */
export function greet(
  carrier: Carrier, identity: Identity, options: DialOptions & { readonly clock: Clock; readonly session?: SessionHello },
  target: string, welcomed: (channel: FrameChannel, greeting: Greeting) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = options.clock.after(options.timeoutMs, () => {
      fail(new DeadlineError(`${target} did not answer the hello within ${options.timeoutMs} ms`));
    }, true);
    const fail = (error: TroupeError): void => {
      timer.cancel();
      reject(error);
      channel.break(failureOf(error));
    };
    carrier.frameMax = HELLO_FRAME_MAX;
    const channel = new FrameChannel(carrier, unknownPeer("agent"), {
      messages: {
        welcome: (said) => {
          const wrong = wrongWelcome(said, identity);
          if (wrong !== undefined) return fail(wrong);
          timer.cancel();
          welcomed(channel, { peer: peerOf(said), received: said.resumeFrom });
          resolve();
        },
        refused: (said) => fail(refusalOf(said)),
      },
      onClose: (_channel, failure) => {
        timer.cancel();
        reject(failure === undefined ? new ConnectionError(`${target} hung up during the hello`) : errorOf(failure));
      },
    });
    channel.send("hello", helloOf(identity, options.session ?? NO_SESSION, options.details));
  });
}

function helloOf(identity: Identity, session: SessionHello, details: Uint8Array | undefined): SendOf<"hello"> {
  const { processId, nodeId, clusterId, token } = identity;
  return {
    protocolVersion: PROTOCOL_VERSION, release: RELEASE, kind: KINDS.indexOf(identity.kind), processId, nodeId, clusterId, token,
    epoch: session.epoch, resumeFrom: session.received, resumes: session.resumes,
    pid: process.pid, details: details ?? NO_DETAILS,
  };
}

function wrongWelcome(said: Welcome, identity: Identity): TroupeError | undefined {
  if (said.protocolVersion !== PROTOCOL_VERSION) return versionMismatch(said);
  if (identity.clusterId !== "" && said.clusterId !== identity.clusterId) return wrongCluster(identity.clusterId, said.clusterId);
  if (KINDS[said.kind] === undefined) return new ConnectionError(`a process of unknown kind ${said.kind} answered`);
  return undefined;
}

const wrongCluster = (asked: string, actual: string): ConnectionError =>
  new ConnectionError(`Cluster ${asked} was asked for, but this process belongs to cluster ${actual}`, { asked, actual });

function refusalOf(said: Refused): TroupeError {
  if (said.protocolVersion !== 0 && said.protocolVersion !== PROTOCOL_VERSION) return versionMismatch(said);
  return errorOf({ code: said.code, text: said.text, fields: JSON.stringify({ refused: true }) });
}

/** True when asking again cannot help: the other side answered, and the answer was no. */
export function isRefusal(error: unknown): boolean {
  if (error instanceof AuthenticationError || error instanceof VersionMismatchError) return true;
  return error instanceof ConnectionError && (error as { refused?: unknown }).refused === true;
}

// -- who listens -------------------------------------------------------------------------------------------------------

export interface Host {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly admit: (peer: Peer) => Admission;
  /** True when the carrier has proved the token already (gRPC metadata). */
  readonly authenticated?: boolean;
  /** What comes between a channel to that node and its carrier: for tests. */
  readonly gate?: (carrier: Carrier, node: string) => Carrier;
  /** Told of every refusal, for logs. */
  readonly refused?: (error: TroupeError, peer: Peer) => void;
  /** What it said, or what would be answered, is lost on the way: for tests. */
  readonly isLost?: (peer: Peer) => boolean;
  /**
   * For a hello with a session: finds or makes it, or refuses. Without it sessions are refused.
   */
  readonly session?: ((peer: Peer, session: SessionHello) => SessionOutcome) | undefined;
}
export type SessionOutcome =
  | { readonly refused: Failure }
  | {
      readonly received: number;
      readonly details: Uint8Array | undefined;
      /** The welcome has been sent: the session goes on over this carrier. */
      attach(carrier: Carrier): void;
    };

/** Answers the hello over a carrier that somebody else opened. */
export function receive(carrier: Carrier, host: Host): FrameChannel {
  let settled = false;
  const timer = host.clock.after(HELLO_WITHIN_MS, () => {
    refuse(failureOf(new DeadlineError(`no hello within ${HELLO_WITHIN_MS} ms`)));
  });
  let peer = unknownPeer("driver");
  const refuse = (failure: Failure): void => {
    settled = true;
    timer.cancel();
    host.refused?.(errorOf(failure), peer);
    const { code, text } = failure;
    channel.send("refused", { code, text, protocolVersion: PROTOCOL_VERSION, release: RELEASE });
    channel.close("refused");
  };
  carrier.frameMax = HELLO_FRAME_MAX;
  const channel = new FrameChannel(carrier, peer, {
    messages: {
      hello: (said) => {
        if (settled) return;
        peer = peerOf(said);
        if (host.isLost?.(peer)) return;
        const wrong = wrongHello(said, host);
        if (wrong !== undefined) return refuse(failureOf(wrong));
        settled = true;
        timer.cancel();
        if (said.epoch !== 0) welcomeSession(channel, said, host, refuse);
        else welcome(channel, said, host, refuse);
      },
    },
    onClose: () => timer.cancel(),
  });
  return channel;
}

function wrongHello(said: Hello, host: Host): TroupeError | undefined {
  const { identity } = host;
  if (said.protocolVersion !== PROTOCOL_VERSION) return versionMismatch(said);
  if (!host.authenticated && !sameToken(said.token, identity.token)) {
    return new AuthenticationError(
      said.token === "" ? "This cluster requires its token, and none was given" : "The token given is not this cluster's",
    );
  }
  if (said.clusterId !== "" && identity.clusterId !== "" && said.clusterId !== identity.clusterId) {
    return wrongCluster(said.clusterId, identity.clusterId);
  }
  if (KINDS[said.kind] === undefined) return new ConnectionError(`a process of unknown kind ${said.kind} said hello`);
  return undefined;
}

function welcome(channel: FrameChannel, said: Hello, host: Host, refuse: (failure: Failure) => void): void {
  const peer = peerOf(said);
  const admission = host.admit(peer);
  if ("refused" in admission) return refuse(admission.refused);
  const { gate } = host;
  accept(channel, peer, admission, host.identity, gate && ((carrier) => gate(carrier, peer.nodeId)));
}

/** For direct connections, which are for little. */
export function onlyDirect(admit: (peer: Peer) => Admission): (peer: Peer) => Admission {
  return (peer) => {
    const admission = admit(peer);
    if ("refused" in admission || admission.direct) return admission;
    return { refused: failureOf(new InvalidArgumentError(`a ${peer.kind} takes no direct connection`)) };
  };
}

/** Makes `channel` the handler's and sends the welcome, the first thing the other side sees. */
export function accept(
  channel: FrameChannel, peer: Peer, admission: Admitted, self: Identity, gate?: (carrier: Carrier) => Carrier,
): void {
  channel.become(peer, admission.handler, gate);
  channel.send("welcome", welcomeOf(self, NO_SESSION, admission.details));
  channel.flush();
  admission.accepted?.(channel satisfies Channel);
}

function welcomeSession(channel: FrameChannel, said: Hello, host: Host, refuse: (failure: Failure) => void): void {
  const session = { epoch: said.epoch, received: said.resumeFrom, resumes: said.resumes };
  const outcome = host.session?.(peerOf(said), session)
    ?? { refused: failureOf(new ConnectionError("resumable sessions are not served here")) };
  if ("refused" in outcome) return refuse(outcome.refused);
  channel.send("welcome", welcomeOf(host.identity, { ...session, received: outcome.received }, outcome.details));
  outcome.attach(channel.release());
}

function welcomeOf(self: Identity, session: SessionHello, details: Uint8Array | undefined): SendOf<"welcome"> {
  return {
    protocolVersion: PROTOCOL_VERSION, release: RELEASE, kind: KINDS.indexOf(self.kind), processId: self.processId,
    nodeId: self.nodeId, clusterId: self.clusterId, epoch: session.epoch, resumeFrom: session.received,
    pid: process.pid, details: details ?? NO_DETAILS,
  };
}
