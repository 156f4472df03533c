// Makes calls of actors: the arguments, the constant part of all calls of a method, and what the call takes from its caller.

import { InvalidArgumentError } from "../errors.ts";
import { ActorCallRecord, type MethodTemplate } from "./actor-call.ts";
import type { CallOptions, HandleCore } from "./actor-handle.ts";
import { limitOf, NO_CHAIN } from "./limits.ts";
import { ObjectRef } from "./object-ref.ts";
import type { Session } from "./session.ts";

export class Calling {
  readonly #session: Session;
  readonly #templates = new Map<string, MethodTemplate>();

  constructor(session: Session) {
    this.#session = session;
  }

  call(core: HandleCore, method: string, args: readonly unknown[], given: CallOptions): ObjectRef | ObjectRef[] {
    const session = this.#session;
    const { actors } = session;
    const perMethod = core.options.methods?.[method];
    const options = perMethod === undefined ? given : { ...perMethod, ...given };
    const template = this.#template(core, method, options);
    const prepared = session.arguments.prepare(args);
    const { first, entries } = session.resultEntries(template.numReturns);
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
    const refs = entries.map((entry) => new ObjectRef(entry));
    return template.numReturns === 1 ? refs[0] : refs;
  }

  #template({ client, options: { groups } }: HandleCore, method: string, options: CallOptions): MethodTemplate {
    const { numReturns = 1, name = `${client.className}.${method}`, concurrencyGroup: group = "" } = options;
    if (group !== "" && groups !== undefined && !groups.includes(group)) {
      const known = groups.join(", ") || "none";
      throw new InvalidArgumentError(`actor ${client.className} has no concurrency group "${group}" (its groups: ${known})`);
    }
    const key = `${name}\n${method}\n${numReturns}\n${group}`;
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = { id: this.#session.newTemplateId(), name, method, numReturns, group };
      this.#templates.set(key, template);
    }
    return template;
  }
}
