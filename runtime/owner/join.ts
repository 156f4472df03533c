// How a driver or worker joins its node: a session that takes work at once, and the way from there to its agent and store.

import { fileNames, type WorkerEnvironment } from "../environment/index.ts";
import type { Seams } from "../seams.ts";
import type { StoreBroker } from "../store/index.ts";
import {
  Callee, Caller, fromBytes, ProcessWelcome, RelayHub,
  type Channel, type Failure, type Identity, type MessageHandlers, type MessageName,
} from "../transport/index.ts";
import { selectRows } from "../core/index.ts";
import { ConnectionError, errorOf } from "../errors.ts";
import { systemEquipment, type Equipment } from "./equipment.ts";
import { FarStore } from "./objects/far-store.ts";
import { Garbage } from "./objects/garbage.ts";
import { Home } from "./home.ts";
import { sessionDirOf, type Link } from "./links.ts";
import { Session } from "./session.ts";
import { stateRows } from "./reports/state-rows.ts";

const DIAL_TIMEOUT_MS = 10_000;
/** A worker that was started before its agent listens tries again this often. */
const DIAL_AGAIN_MS = 4;
const STORE_CALL_TIMEOUT_MS = 30_000;

export interface JoinOptions {
  readonly seams: Seams;
  /** Who joins, and where: the node of the agent, or on a machine without one a node of its own. */
  readonly identity: Identity;
  /** Of the home agent: on this machine its socket in the session's folder. */
  readonly agentAddress: string;
  /** Nothing is dialled before this; what it rejects with ends the session. */
  readonly after?: Promise<void> | undefined;
  /** Told in the hello. */
  readonly details: Uint8Array;
  readonly jobId: string;
  readonly namespace: string;
  /** What a worker was started in. */
  readonly environment?: WorkerEnvironment | undefined;
  /** Beside what every session answers. */
  readonly agentMessages: (session: Session) => MessageHandlers;
  readonly processMessages: (session: () => Session) => MessageHandlers;
  /** What has to be agreed with the agent before work goes to it. */
  readonly register?: (agent: Channel, caller: Caller) => Promise<void>;
  readonly onLinkClosed?: (link: Link) => void;
  /** The agent is gone; the session has ended already. */
  readonly onLost?: (error: Error) => void;
  /** Default: the system's. */
  readonly equipment?: Equipment | undefined;
}

/** A session that is on its way to its node: it takes work at once. `session.joined()` tells how it went. */
export function join(options: JoinOptions): Session {
  const { seams, identity, jobId, namespace, equipment = systemEquipment } = options;
  const { clock } = seams;
  const home = new Home(clock);
  const caller = new Caller(clock);
  const current = () => session;
  const hub = new RelayHub({ identity, clock, admit: () => session.links.accept() });
  const session: Session = new Session({
    seams, identity, jobId, namespace, home, caller,
    sessionDir: sessionDirOf(options.agentAddress),
    environment: options.environment,
    codec: equipment.createCodec(),
    createShipper: (hooks) => {
      const { files } = options.environment ?? {};
      return equipment.createShipper({ ...hooks, files: files && fileNames(files) });
    },
    finalizers: equipment.finalizers,
    oneProcess: equipment.oneProcess,
    openRelay: ({ process, node }, handler) => hub.open(process, node, handler, { timeoutMs: DIAL_TIMEOUT_MS }),
    extraMessages: options.processMessages(current),
    onLinkClosed: options.onLinkClosed,
  });
  enter(session, hub, options).then(
    () => home.opened(),
    (error: Error) => session.close(error),
  );
  return session;
}

/** Dials the agent, takes what its welcome brings, and listens. */
async function enter(session: Session, hub: RelayHub, options: JoinOptions): Promise<void> {
  const { equipment = systemEquipment, register } = options;
  const { caller, home } = session.parts;
  const early = new EarlyMessages();
  await options.after;
  const agent = await dialAgent(session, options, {
    messages: early.handlers(),
    onTurn: (channel) => channel.flush(),
    onClose: (channel, failure) => {
      caller.closed(channel, failure);
      const error = lostError(failure);
      const wasIn = home.ready;
      void session.close(error).then(() => wasIn && options.onLost?.(error));
    },
  });
  session.parts.identity.clusterId = agent.peer.clusterId;
  const welcome = fromBytes(ProcessWelcome, agent.peer.details);
  const { store: grant, claimsPath } = welcome;
  const store = grant === undefined ? undefined : equipment.openStore(grant, storeBroker(caller, agent));
  const chunks = new FarStore(caller, agent);
  const far = grant === undefined ? chunks : undefined;
  const holds = () => (store?.pinned().objects ?? 0) > 0 || session.borrowing.holdsAny;
  const stirs = () => session.links.turns + session.attempts.over;
  const garbage = equipment.garbage && new Garbage({ ...equipment.garbage, clock: session.parts.seams.clock, holds, stirs });
  home.entered({ agent, store, chunks, far, claims: equipment.openClaims(claimsPath), garbage });
  hub.connect(agent);
  await session.listen();
  const callee = new Callee({
    listState: (query) => {
      const { rows, total } = selectRows(stateRows(session, query, equipment.liveEntries), query);
      return { stateRows: { json: JSON.stringify(rows), total } };
    },
  });
  early.release({
    ...sessionMessages(session, caller, callee, hub),
    collectGarbage() {
      session.recovery.pressed();
      garbage?.asked();
    },
    ...options.agentMessages(session),
  });
  await register?.(agent, caller);
}

/** What every session answers its agent. */
function sessionMessages(session: Session, caller: Caller, callee: Callee, hub: RelayHub): MessageHandlers {
  return {
    call: (call, channel) => callee.called(call, channel),
    answer: (answer) => caller.answered(answer),
    leaseGranted: (granted) => session.submission.leases.granted(granted),
    leaseRefused: (refused) => session.submission.leases.refused(refused),
    leaseRevoked: ({ lease, reason }) => session.submission.leases.revoked(lease, reason),
    processDied: (died) => {
      session.submission.processDied(died);
      session.processDied(died.process, died.cause?.text ?? "it ended");
    },
    nodeDied: ({ node, reason }) => {
      session.submission.nodeDied(node, reason);
      session.borrowing.nodeDied(node, reason);
      session.recovery.nodeDied(node, reason);
      session.actors.nodeDied(node);
    },
    relay: (message) => hub.deliver(message),
    relayClosed: (message) => hub.closed(message),
    objectsEnded: (ended) => session.keeping.ended(ended),
    actorChanged: ({ info }) => info && session.actors.changed(info),
    goodbye: () => {},
  };
}

async function dialAgent(
  session: Session, options: JoinOptions, handler: Parameters<Seams["transport"]["dial"]>[2],
): Promise<Channel> {
  const { seams, identity, agentAddress, details } = options;
  const { clock, transport } = seams;
  const until = clock.now() + DIAL_TIMEOUT_MS;
  for (;;) {
    session.checkAlive();
    try {
      const timeoutMs = Math.max(1, until - clock.now());
      const agent = await transport.dial(agentAddress, identity, handler, { details, timeoutMs });
      if (!session.ended) return agent;
      agent.close("the session ended while it joined");
    } catch (error) {
      // Not there yet is the only failure that another try can mend, and only workers are started before their agent.
      const isEarly = identity.kind === "worker" && error instanceof ConnectionError && isAbsent(error);
      if (!isEarly || clock.now() >= until) throw error;
      await new Promise<void>((resolve) => void clock.after(DIAL_AGAIN_MS, resolve));
    }
  }
}

function isAbsent(error: ConnectionError): boolean {
  const { errno } = error as ConnectionError & { readonly errno?: string };
  const code = errno ?? (error.cause as NodeJS.ErrnoException | undefined)?.code;
  return code === "ENOENT" || code === "ECONNREFUSED";
}

function lostError(failure: Failure | undefined): Error {
  const why = failure === undefined ? "it ended" : failure.text;
  return new ConnectionError(`the agent of this node is gone: ${why}`, {}, failure === undefined ? undefined : errorOf(failure));
}

function storeBroker(caller: Caller, agent: Channel): StoreBroker {
  const options = { timeoutMs: STORE_CALL_TIMEOUT_MS };
  return {
    slab: (sizeClass) => caller.call(agent, "grantSlab", { sizeClass }, "slab", options),
    descriptors: async (count) => {
      const { slots, generations } = await caller.call(agent, "grantDescriptors", { count }, "descriptors", options);
      return slots.map((slot, index) => ({ slot, generation: generations[index] }));
    },
    allocate: (bytes, isSeen) => caller.call(agent, "allocateObject", { bytes, waitMs: 0, isSeen }, "object", options),
  };
}

/** Holds what arrives between the welcome and the end of joining, in order. */
class EarlyMessages {
  #queue: (() => void)[] | undefined = [];
  #messages: MessageHandlers = {};

  handlers(): MessageHandlers {
    return new Proxy({} as MessageHandlers, {
      get: (_target, name: MessageName) => (body: never, channel: Channel) => {
        const deliver = () => (this.#messages[name] as ((b: never, c: Channel) => void) | undefined)?.(body, channel);
        if (this.#queue === undefined) deliver();
        else this.#queue.push(deliver);
      },
    });
  }

  release(messages: MessageHandlers): void {
    this.#messages = messages;
    const queue = this.#queue ?? [];
    this.#queue = undefined;
    for (const deliver of queue) deliver();
  }
}
