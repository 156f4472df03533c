// Signs of life that running code gives: each tells its owner that the attempt gets on, how far it is, and what the next attempt
// could go on from.

import { InvalidArgumentError } from "../../errors.ts";
import type { Draft, Heartbeat } from "../../transport/index.ts";
import type { Attempt } from "../context.ts";
import type { Session } from "../session.ts";

/** The last of a task or call, at its owner. */
export interface LastHeartbeat {
  /** Time of the clock. */
  readonly at: number;
  /** Encoded; of the last one that had any. */
  readonly detail: Uint8Array;
  readonly progress: number | undefined;
}

/** Progress on the wire. */
const MILLION = 1_000_000;
const NO_DETAIL = new Uint8Array(0);

/** Of running code that this process submitted; that of an attempt that no longer counts changes nothing. */
export function heartbeatHeard({ actors, submission, parts }: Session, heard: Heartbeat): void {
  const call = actors.find(heard.task)?.call;
  const task = submission.find(heard.task);
  const now = parts.seams.clock.now();
  if (call !== undefined && call.attempt === heard.attempt) call.heartbeat = after(call.heartbeat, heard, now);
  if (task !== undefined && task.life.attempt === heard.attempt) task.heartbeat = after(task.heartbeat, heard, now);
}

function after(before: LastHeartbeat | undefined, heard: Heartbeat, at: number): LastHeartbeat {
  const detail = heard.detail.length > 0 ? heard.detail : (before?.detail ?? NO_DETAIL);
  return { at, detail, progress: heard.hasProgress ? heard.progress / MILLION : before?.progress };
}

/** From the code of an attempt to who submitted it. */
export function sendHeartbeat(session: Session, attempt: Attempt, told: { detail?: unknown; progress?: number }): void {
  const { process, node, number } = attempt.submitter;
  const detail = "detail" in told && told.detail !== undefined ? encoded(session, told.detail) : NO_DETAIL;
  attempt.lastHeartbeat = detail.length > 0 ? detail : attempt.lastHeartbeat;
  const progress = Math.round((told.progress ?? 0) * MILLION);
  const body = { task: number, attempt: attempt.attempt, detail, hasProgress: told.progress !== undefined, progress };
  if (process === session.parts.identity.processId) return heartbeatHeard(session, body);
  // An owner out of reach is gone, and wants nothing any more.
  session.links.connect({ process, node }).then(({ channel }) => {
    channel.send("heartbeat", body satisfies Draft<Heartbeat>);
    channel.flush();
  }, () => {});
}

/** Plain data: the next attempt must be able to read it wherever it runs, and whatever has ended since. */
function encoded(session: Session, detail: unknown): Uint8Array {
  const small = session.values.small(detail);
  if (small !== undefined && small.codes.length === 0 && small.contained.length === 0) return small.bytes;
  const text = "heartbeat: the detail must be plain data of at most 64 KiB, without refs, functions or instances";
  throw new InvalidArgumentError(text);
}
