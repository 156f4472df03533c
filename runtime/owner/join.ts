// How a driver or worker joins its node: dials the agent, maps the store, and becomes a session.

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
import { Session } from "./session.ts";
import type { Link } from "./links.ts";
import { stateRows } from "./state-rows.ts";

const DIAL_TIMEOUT_MS = 10_000;
/** A process that was started before its agent listens tries again this often. */
const DIAL_AGAIN_MS = 4;
const STORE_CALL_TIMEOUT_MS = 30_000;

export interface JoinOptions {
  readonly seams: Seams;
  readonly identity: Identity;
  readonly agentAddress: string;
  readonly details: Uint8Array;
  /** What a worker was started in. */
  readonly environment?: WorkerEnvironment | undefined;
  /** Beside what every session answers. */
  readonly agentMessages: (session: Session) => MessageHandlers;
  readonly processMessages: (session: () => Session) => MessageHandlers;
  readonly onLinkClosed?: (link: Link) => void;
  /** The agent is gone; the session has ended already. */
  readonly onLost: (error: Error) => void;
  /** Default: the system's. */
  readonly equipment?: Equipment | undefined;
}

export async function join(options: JoinOptions): Promise<Session> {
  const { seams, identity, equipment = systemEquipment } = options;
  const caller = new Caller(seams.clock);
  const early = new EarlyMessages();
  let session: Session | undefined;
  const agent = await dialAgent(options, {
    messages: early.handlers(),
    onTurn: (channel) => channel.flush(),
    onClose: (channel, failure) => {
      caller.closed(channel, failure);
      const error = lostError(failure);
      void session?.close(error).then(() => options.onLost(error));
    },
  });
  const welcome = fromBytes(ProcessWelcome, agent.peer.details);
  const store = welcome.store === undefined ? undefined : equipment.openStore(welcome.store, storeBroker(caller, agent));
  const { nodeId, clusterId } = agent.peer;
  const joined = { ...identity, nodeId, clusterId };
  const current = () => session as Session;
  const admit = () => current().links.accept();
  const hub = new RelayHub({ identity: joined, clock: seams.clock, admit });
  hub.connect(agent);
  session = new Session({
    seams,
    identity: joined,
    sessionDir: welcome.sessionDir,
    jobId: welcome.jobId,
    namespace: welcome.namespace,
    environment: options.environment,
    agent,
    caller,
    codec: equipment.createCodec(),
    shipper: equipment.createShipper({
      files: options.environment?.files && fileNames(options.environment.files),
      ref: { encode: (ref) => current().encodeCaptured(ref), decode: (bytes) => current().decodeCaptured(bytes, "ref") },
      handle: {
        encode: (handle) => current().encodeCaptured(handle),
        decode: (bytes) => current().decodeCaptured(bytes, "handle"),
      },
    }),
    store,
    claims: equipment.openClaims(welcome.claimsPath),
    finalizers: equipment.finalizers,
    openRelay: ({ process, node }, handler) => hub.open(process, node, handler, { timeoutMs: DIAL_TIMEOUT_MS }),
    extraMessages: options.processMessages(current),
    onLinkClosed: options.onLinkClosed,
  });
  await session.listen();
  const callee = new Callee({
    listState: (query) => {
      const { rows, total } = selectRows(stateRows(current(), query.kind, equipment.liveEntries), query);
      return { stateRows: { json: JSON.stringify(rows), total } };
    },
  });
  early.release({ ...sessionMessages(session, caller, callee, hub), ...options.agentMessages(session) });
  return session;
}

/** What every session answers its agent. */
function sessionMessages(session: Session, caller: Caller, callee: Callee, hub: RelayHub): MessageHandlers {
  return {
    call: (call, channel) => callee.called(call, channel),
    answer: (answer) => caller.answered(answer),
    leaseGranted: (granted) => session.submission.leaseGranted(granted),
    leaseRefused: (refused) => session.submission.leaseRefused(refused),
    leaseRevoked: ({ lease, reason }) => session.submission.leaseRevoked(lease, reason),
    processDied: (died) => {
      session.submission.processDied(died);
      session.borrowing.processDied(died.process, died.cause?.text ?? "it ended");
    },
    nodeDied: ({ node, reason }) => {
      session.submission.nodeDied(node, reason);
      session.borrowing.nodeDied(node, reason);
      session.actors.nodeDied(node);
    },
    relay: (message) => hub.deliver(message),
    relayClosed: (message) => hub.closed(message),
    actorChanged: ({ info }) => info && session.actors.changed(info),
    goodbye: () => {},
  };
}

async function dialAgent(options: JoinOptions, handler: Parameters<Seams["transport"]["dial"]>[2]): Promise<Channel> {
  const { seams, identity, agentAddress, details } = options;
  const { clock, transport } = seams;
  const until = clock.now() + DIAL_TIMEOUT_MS;
  for (;;) {
    try {
      return await transport.dial(agentAddress, identity, handler, { details, timeoutMs: Math.max(1, until - clock.now()) });
    } catch (error) {
      // Not there yet is the only failure that another try can mend.
      if (!(error instanceof ConnectionError) || !isAbsent(error) || clock.now() >= until) throw error;
      await new Promise<void>((resolve) => void clock.after(DIAL_AGAIN_MS, resolve, true));
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
    allocate: (bytes) => caller.call(agent, "allocateObject", { bytes, waitMs: 0 }, "object", options),
  };
}

/** Holds what arrives between the welcome and the session, in order. */
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
