// The worker: a process that runs tasks or hosts one actor.

import type { WorkerEnvironment } from "../environment/index.ts";
import { join, type Equipment, type Link, type Session } from "../owner/index.ts";
import type { Clock, Seams } from "../seams.ts";
import { toBytes, WorkerDetails, type Identity } from "../transport/index.ts";
import { ActorHost } from "./actor-host.ts";
import { ownProcess, type Surroundings } from "./surroundings.ts";
import { TaskRunner } from "./task-runner.ts";
import { ThreadHost } from "./thread-host.ts";
import { Templates } from "./templates.ts";

export interface WorkerParts {
  readonly seams: Seams;
  readonly identity: Identity;
  readonly agentAddress: string;
  readonly pid: number;
  /** What it was started in. */
  readonly environment?: WorkerEnvironment | undefined;
  /** No actor is constructed before this; undefined: any time. */
  readonly prepared?: Promise<void> | undefined;
  /** The worker is to end: its agent is gone or said so. */
  readonly exit: (code: number, reason: string) => void;
  /** Default: the system's. */
  readonly equipment?: Equipment | undefined;
  /** Default: a process of its own. */
  readonly surroundings?: Surroundings | undefined;
}

/** A worker on its way to its node. */
export function startWorker(parts: WorkerParts): Session {
  const { surroundings = ownProcess } = parts;
  let tasks: TaskRunner;
  let actors: ActorHost;
  let threads: ThreadHost;
  let templates: Templates;
  const session = join({
    seams: parts.seams, identity: parts.identity, agentAddress: parts.agentAddress, equipment: parts.equipment,
    environment: parts.environment,
    details: toBytes(WorkerDetails, { socket: "" }),
    // It has no job before it adopts one.
    jobId: "", namespace: "",
    processMessages: (current) => {
      const linkOf = (channel: Parameters<Session["links"]["of"]>[0]): Link => current().links.of(channel);
      return {
        template: (template, channel) => templates.onTemplate(template, linkOf(channel)),
        pushTask: (push, channel) => tasks.push(push, linkOf(channel)),
        cancelTask: (message, channel) => {
          const link = linkOf(channel);
          if (actors.isEmpty) tasks.cancel(message, link);
          else actors.cancel(message, link);
        },
        actorCall: (call, channel) => actors.call(call, linkOf(channel)),
      };
    },
    agentMessages: (current) => {
      templates = new Templates(current);
      const common = { session: current, templates, agent: current.parts.home.agent, pid: parts.pid };
      const exiting = () => void endGracefully("its actor called exitActor()");
      threads = new ThreadHost({ agent: common.agent, sessionDir: current.parts.sessionDir });
      actors = new ActorHost({ ...common, exiting, share: surroundings.share });
      tasks = new TaskRunner({ ...common, leave: () => void unused(current).then(() => endGracefully("it has run its calls")) });
      return {
        // The same word to owner and worker; the one to an owner says who asked. A worker may be granted to itself.
        leaseGranted: (granted) => {
          if (granted.origin !== "") return current.submission.leases.granted(granted);
          useGpus(current, surroundings, granted.gpus);
          tasks.leased(granted.lease, granted.claimPage);
        },
        leaseRevoked: (revoked) => {
          if (revoked.origin !== "") return current.submission.leases.revoked(revoked.lease, revoked.reason);
          tasks.letGo(revoked.lease);
        },
        adoptJob: ({ jobId, namespace }) => void Object.assign(current, { jobId, namespace }),
        constructActor: (message) => {
          useGpus(current, surroundings, message.gpus);
          void (parts.prepared === undefined ? actors.construct(message) : parts.prepared.then(() => actors.construct(message)));
        },
        startThread: (message) => void threads.start(message),
        endThread: (message) => threads.end(message),
        endActor: (message) => actors.end(message),
        exit: ({ reason }) => void endGracefully(reason),
      };
    },
    onLinkClosed: (link) => {
      templates.forget(link);
      tasks.ownerGone(link);
      actors.callerGone(link.process);
    },
    onLost: (error) => parts.exit(1, error.message),
  });

  async function endGracefully(reason: string): Promise<void> {
    await actors.exit();
    session.metrics.close();
    await sent(session);
    parts.exit(0, reason);
  }
  return session;
}

function useGpus({ attempts }: Session, { showGpus }: Surroundings, gpus: readonly number[]): void {
  const before = attempts.gpuIds;
  attempts.gpuIds = [...gpus];
  showGpus(gpus, before);
}

/** Answers, and what this process counted, leave before it does. */
async function sent({ links, parts: { home, seams: { clock } } }: Session): Promise<void> {
  const channels = [home.agent, ...[...links.values()].map(({ channel }) => channel)];
  for (const channel of channels) channel.flush();
  const waits = () => channels.some((channel) => channel.open && channel.bufferedBytes > 0);
  await whileIt(waits, clock, SEND_MS, SEND_LOOK_MS);
}

/** What others still use of a process, or what it submitted, goes with it. */
async function unused({ borrowing, submission, parts: { seams: { clock } } }: Session): Promise<void> {
  const isOfUse = () => borrowing.counts().own > 0 || [...submission.pending()].length > 0;
  await whileIt(isOfUse, clock, LEAVE_MS, LEAVE_LOOK_MS);
}

async function whileIt(lasts: () => boolean, clock: Clock, mostMs: number, lookMs: number): Promise<void> {
  const until = clock.now() + mostMs;
  while (lasts() && clock.now() < until) await new Promise<void>((resolve) => void clock.after(lookMs, resolve));
}
/** Bound on that, and how often it is looked at. */
const SEND_MS = 2000;
const SEND_LOOK_MS = 5;
/** The same for a worker that leaves because of maxCalls. */
const LEAVE_MS = 30_000;
const LEAVE_LOOK_MS = 50;
