// What is kept of a task or call that ended well, so that it can be run again: what it was given, and how it is started.

import type { EndedTask } from "../../core/index.ts";
import type { BoundArg, Code, HeldRef } from "../../transport/index.ts";
import { ActorCallRecord, type MethodTemplate } from "../actors/actor-call.ts";
import type { ActorClient } from "../actors/actor-client.ts";
import { limitOf } from "../tasks/limits.ts";
import { heldRef, type ObjectEntry } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";
import { TaskRecord, type TaskTemplate } from "../tasks/task-record.ts";
import type { WireValue } from "../values/wire-value.ts";

/** An argument that was a ref: its value when that was small, else the object. */
export interface GivenArg extends HeldRef {
  readonly index: number;
  readonly value: WireValue | undefined;
}

/** The arguments anew, bound to what their objects are now. */
export interface GivenAgain {
  readonly args: { readonly bytes: Uint8Array; readonly codes: Code[] };
  readonly bound: BoundArg[];
  readonly kept: ObjectEntry[];
  inline: number;
  readonly unresolved: readonly { readonly bound: BoundArg; readonly entry: ObjectEntry }[];
}

/** The entries of its results, and what it may still do. */
export interface RunAgain {
  readonly results: readonly ObjectEntry[];
  readonly attempt: number;
  readonly retriesLeft: number;
}

export interface Run {
  /** Of its first result. */
  readonly number: number;
  readonly count: number;
  readonly name: string;
  readonly args: { readonly bytes: Uint8Array; readonly codes: Code[] };
  readonly given: readonly GivenArg[];
  /** Refs inside its arguments. */
  readonly inside: readonly HeldRef[];
  /** Objects made of what it was given by value: held while it may run again. */
  readonly byValue: readonly ObjectEntry[];
  readonly isStream: boolean;
  /** Of the run that ended last. */
  attempt: number;
  start(given: GivenAgain, again: RunAgain): void;
}

/** What a record costs beside its bytes. */
const RECORD_BYTES = 512;

function sizeOf({ args, given }: Run): number {
  return given.reduce((sum, { value }) => sum + (value?.value?.length ?? 0), RECORD_BYTES + args.bytes.length);
}

/** In stores, of what it was given by value. */
function storedSizeOf({ byValue }: Run): number {
  return byValue.reduce((sum, { value }) => sum + (value?.stored?.size ?? 0), 0);
}

/** What lineage keeps of it. */
export function endedTask(session: Session, run: Run, results: readonly number[], retriesLeft: number): EndedTask<Run> {
  const { processId } = session.parts.identity;
  const needs = run.given.filter(({ owner, value }) => owner === processId && value === undefined).map(({ object }) => object);
  return { number: run.number, spec: run, bytes: sizeOf(run), storedBytes: storedSizeOf(run), results, needs, retriesLeft };
}

export function taskRun(session: Session, task: TaskRecord): Run {
  const { template, chain } = task;
  return {
    ...runOf(session, task, template),
    start(given, { results, attempt, retriesLeft }) {
      const limit = limitOf(template, undefined, session.parts.seams.clock);
      const again = new TaskRecord(
        results[0].number, template, given.args, given.bound, results, given.kept, chain, undefined, limit,
      );
      again.life.attempt = attempt;
      again.life.retriesLeft = retriesLeft;
      again.unresolved = given.unresolved.length;
      session.submission.submit(again);
      session.arguments.await(given, {
        ready: () => session.submission.argumentReady(again),
        failed: (error) => session.submission.argumentFailed(again, error),
      });
    },
  };
}

export function callRun(session: Session, client: ActorClient, call: ActorCallRecord): Run {
  const { template, caller, chain, retryOn } = call;
  return {
    ...runOf(session, call, template),
    start(given, { results, attempt, retriesLeft }) {
      const again = new ActorCallRecord(
        results[0].number, caller, template, given.args, given.bound, results, given.kept, chain, retriesLeft, retryOn, undefined,
      );
      again.attempt = attempt;
      again.unresolved = given.unresolved.length;
      again.ready = again.unresolved === 0;
      session.actors.call(client, again, undefined);
      session.arguments.await(given, {
        ready: () => session.actors.argumentReady(again),
        failed: (error) => session.actors.argumentFailed(again, error),
      });
    },
  };
}

/** Bytes in a slab that they share with others are copied: they would keep all of it. */
function runOf(
  session: Session, record: TaskRecord | ActorCallRecord, { name, streamAhead }: TaskTemplate | MethodTemplate,
): Omit<Run, "start"> {
  const { number, args, codes, bound, kept, results } = record;
  const given = bound.map(({ index, value, owner, ownerNode, object }) => (
    { index, owner, ownerNode, object, value: value?.stored ? undefined : value }
  ));
  const isGiven = ({ owner, number: object }: ObjectEntry) => bound.some((one) => one.owner === owner && one.object === object);
  const inside = kept.filter((entry) => !isGiven(entry)).map(heldRef);
  const attempt = "life" in record ? record.life.attempt : record.attempt;
  return {
    number, count: results.length, name, args: { bytes: Uint8Array.from(args), codes }, given, inside, attempt,
    byValue: kept.filter((entry) => session.arguments.isByValue(entry)), isStream: streamAhead > 0,
  };
}
