// What `.remote()` does: a task, or a call of an actor, is made of its arguments, the constant part of all calls of a function or
// method, and what it takes from its caller, and given to who runs it.

import { InvalidArgumentError } from "../../errors.ts";
import { ActorCallRecord, type MethodTemplate } from "../actors/actor-call.ts";
import type { CallOptions, HandleCore } from "../actors/actor-handle.ts";
import { limitOf, NO_CHAIN } from "./limits.ts";
import { type ObjectEntry, ObjectRef } from "../objects/object-ref.ts";
import type { Made } from "../streams/object-ref-stream.ts";
import type { Session } from "../session.ts";
import { TaskRecord, type TaskTemplate } from "./task-record.ts";

/** Items of a generator that may be yielded and not taken. */
export const STREAM_AHEAD = 16;

export class Calling {
  readonly #session: Session;
  readonly #templates = new Map<string, MethodTemplate>();

  constructor(session: Session) {
    this.#session = session;
  }

  submit(template: TaskTemplate, args: readonly unknown[]): Made {
    const session = this.#session;
    const { submission } = session;
    const prepared = session.arguments.prepare(args);
    session.traps.submits(template);
    session.code.publish(template.code);
    const { first, entries } = this.#results(template.numReturns);
    const stream = template.streamAhead > 0 ? session.streams.own.open(entries[0], template.name, template.scope) : undefined;
    const parent = session.attempts.current();
    const chain = parent === undefined ? NO_CHAIN : { ...parent.chain, depth: parent.chain.depth + 1 };
    const limit = limitOf(template, parent, session.parts.seams.clock);
    const task = new TaskRecord(first, template, prepared, prepared.bound, entries, prepared.kept, chain, parent, limit);
    task.unresolved = prepared.unresolved.length;
    submission.submit(task);
    if (parent?.ending.reason !== undefined) submission.cancel(task, parent.ending.reason, { force: false, recursive: true });
    session.arguments.await(prepared, {
      ready: () => submission.argumentReady(task),
      failed: (error) => submission.argumentFailed(task, error),
    });
    return stream ?? refsOf(entries);
  }

  call(core: HandleCore, method: string, args: readonly unknown[], given: CallOptions): Made {
    const session = this.#session;
    const { actors } = session;
    const perMethod = core.options.methods?.[method];
    const options = perMethod === undefined ? given : { ...perMethod, ...given };
    const template = this.#template(core, method, options);
    const prepared = session.arguments.prepare(args);
    const { first, entries } = this.#results(template.numReturns);
    const stream = template.streamAhead > 0 ? session.streams.own.open(entries[0], template.name) : undefined;
    const current = session.attempts.current();
    const call = new ActorCallRecord(
      first,
      current?.caller ?? 0,
      template,
      prepared,
      prepared.bound,
      entries,
      prepared.kept,
      current === undefined ? NO_CHAIN : current.chain,
      options.maxTaskRetries ?? core.options.maxTaskRetries ?? 0,
      options.retryOn ?? core.options.retryOn,
      limitOf(options, current, session.parts.seams.clock),
    );
    call.unresolved = prepared.unresolved.length;
    call.ready = call.unresolved === 0;
    actors.call(core.client, call, core.entry);
    if (current?.ending.reason !== undefined) actors.cancel(call, current.ending.reason, true);
    session.arguments.await(prepared, {
      ready: () => actors.argumentReady(call),
      failed: (error) => actors.argumentFailed(call, error),
    });
    return stream ?? refsOf(entries);
  }

  #results(count: number): { first: number; entries: ObjectEntry[] } {
    const session = this.#session;
    // A task without results still has one entry: its completion.
    const entries: ObjectEntry[] = [];
    const first = session.newNumber(Math.max(1, count));
    for (let index = 0; index < Math.max(1, count); index += 1) entries.push(session.newEntry(first + index));
    return { first, entries };
  }

  #template({ client, options: { groups, streams } }: HandleCore, method: string, options: CallOptions): MethodTemplate {
    const { name = `${client.className}.${method}`, concurrencyGroup: group = "" } = options;
    if (group !== "" && groups !== undefined && !groups.includes(group)) {
      const known = groups.join(", ") || "none";
      const text = `actor ${client.className} has no concurrency group "${group}" (its groups: ${known})`;
      throw new InvalidArgumentError(`call option concurrencyGroup: ${text}`);
    }
    const isStream = streams?.includes(method) === true;
    if (isStream && options.numReturns !== undefined) {
      const what = `${client.className}.${method}`;
      throw new InvalidArgumentError(`call option numReturns: "${what}" is a generator: it has a stream, and no numReturns`);
    }
    const numReturns = isStream ? 0 : (options.numReturns ?? 1);
    const streamAhead = isStream ? (options.streamBackpressure ?? STREAM_AHEAD) : 0;
    const key = `${name}\n${method}\n${numReturns}\n${group}\n${streamAhead}`;
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = { id: this.#session.newShortId(), name, method, numReturns, group, streamAhead };
      this.#templates.set(key, template);
    }
    return template;
  }
}

function refsOf(entries: readonly ObjectEntry[]): ObjectRef | ObjectRef[] {
  return entries.length === 1 ? new ObjectRef(entries[0]) : entries.map((entry) => new ObjectRef(entry));
}
