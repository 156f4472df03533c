// Starts the creation of an actor: its arguments are prepared, its agent is asked, and until both are done its calls wait.

import type { CapturedCode } from "../../closure/index.ts";
import { failureOf } from "../../errors.ts";
import type { ActorSpec, Failure } from "../../transport/index.ts";
import type { EnvironmentUse } from "../environments.ts";
import { endActor } from "./actor-end.ts";
import { handleOf, HandleCore, type HandleOptions } from "./actor-handle.ts";
import type { Session } from "../session.ts";
import { thrownIn } from "../values/wire-value.ts";

/** All of an actor's specification but what the session knows. */
export type NewActor = Omit<Partial<ActorSpec>, "args"> & { readonly className: string };

export interface CreationOptions {
  readonly code: CapturedCode;
  readonly environment: EnvironmentUse;
  readonly handle: HandleOptions;
}

export function startActor(
  session: Session, spec: NewActor, args: readonly unknown[], methods: Set<string>, options: CreationOptions,
): object {
  const { actors, borrowing, parts } = session;
  const prepared = session.arguments.prepare(args);
  session.code.publish(options.code);
  const entry = session.newEntry();
  const client = actors.created(entry.id, spec.className, options.handle);
  client.kept = prepared.kept;
  client.mayRestart = spec.maxRestarts !== 0;
  const core = new HandleCore(session, client, spec.detached ? undefined : entry, methods, options.handle);
  if (core.entry !== undefined) core.group = borrowing.shareCounted(core.entry, () => session.actorFreed(entry.number));
  const constructed = () => actors.constructed(client);
  const send = () => {
    if (client.isFreed) return;
    const { processId: owner, nodeId: ownerNode } = parts.identity;
    const { bytes, codes, bound } = prepared;
    const { jobId } = session;
    const { id: functionId } = options.code;
    const about = { functionId, actor: entry.id, owner, ownerNode, jobId, environment: environment.id };
    session.ask("createActor", { spec: { ...spec, ...about, args: bytes, codes, bound } }, "actor").then(
      (info) => {
        // The word that its last handle is gone went before it was there.
        if (client.isFreed) return endActor(session, client.id);
        actors.creationAccepted(client, info);
        actors.ready(client).then(constructed, constructed);
      },
      (error) => actors.died(client, failureOf(error) as Failure),
    );
  };
  const { environment } = options;
  let unresolved = prepared.unresolved.length + 1;
  const ready = () => {
    unresolved -= 1;
    if (unresolved === 0) send();
  };
  if (environment.id !== undefined) ready();
  else environment.prepare().then(ready, (error: unknown) => actors.died(client, failureOf(error) as Failure));
  session.arguments.await(prepared, {
    ready,
    failed: (error) => {
      const died = (cause: unknown) => actors.died(client, { ...(failureOf(cause) as Failure), thrown: thrownIn(error) });
      if (error.failure) actors.died(client, error.failure as Failure);
      else session.values.failed(error).then(died, died);
    },
  });
  return handleOf(core);
}
