// A lease of a worker at its owner: how it begins, and how tasks are pushed to it.

import type { StreamPosition } from "../../core/index.ts";
import type { Clock } from "../../seams.ts";
import { CLAIM_SLOTS, claimSalt, type ClaimPage } from "../../store/index.ts";
import type { LeaseGranted } from "../../transport/index.ts";
import { chainWithin } from "./limits.ts";
import type { Link } from "../links.ts";
import { tagOf, type TaskLease, type TaskRecord } from "./task-record.ts";

export function beginLease(granted: LeaseGranted, link: Link, page: ClaimPage | undefined, now: number): TaskLease {
  const { lease: id, worker, node, claimPage } = granted;
  return {
    id, worker, node, link, page, claimPage, salt: claimSalt(id), nextSlot: 0,
    inFlight: new Set(), backlogMicros: 0, closing: false, wanted: false, blocked: false, idleSince: now, movedAt: now,
  };
}

/** The task is the worker's to claim from now on. */
export function pushTo(
  lease: TaskLease, task: TaskRecord, ownerNode: string, clock: Clock, stream: StreamPosition | undefined,
): void {
  const slot = lease.nextSlot;
  lease.nextSlot = slot + 1 === CLAIM_SLOTS ? 0 : slot + 1;
  task.lease = lease;
  task.slot = slot;
  lease.page?.queue(slot, tagOf(task, lease));
  const { link, id, claimPage } = lease;
  const { template, number, life, args, bound, codes } = task;
  if (link.introduce(template.id)) sendTemplate(link, template);
  link.channel.send("pushTask", {
    template: template.id, task: number, attempt: life.attempt, slot, lease: id, claimPage, args, bound,
    chain: chainWithin(task, clock), ownerNode, codes, stream,
    lastHeartbeat: task.heartbeat?.detail,
  });
}

function sendTemplate({ channel }: Link, template: TaskRecord["template"]): void {
  const { id, code, name, numReturns, streamAhead, maxCalls, method, scheduling, scope } = template;
  const { resources, strategy } = scheduling;
  const { id: functionId } = code;
  channel.send("template", { id, functionId, name, numReturns, streamAhead, maxCalls, method, resources, strategy, scope });
}
