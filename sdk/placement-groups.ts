// Placement groups: resources reserved together, on one node or on several, all of them or none.

import { GetTimeoutError, InvalidArgumentError, NotFoundError, PlacementGroupRemovedError } from "../runtime/errors.ts";
import { checkName, checkWait } from "../runtime/option-checks.ts";
import { currentSession, objectIdOf, type Session, type WaitOptions } from "../runtime/owner/index.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";
import type { GroupInfo } from "../runtime/transport/index.ts";
import { GROUP_STRATEGIES, parseResources, resourceAmounts, type Resources } from "../scheduler/index.ts";
import { bytesOf } from "./byte-sizes.ts";
import { checkGroupOptions } from "./options.ts";

/** Resources of one node: CPU, GPU, memory (bytes or "512MiB") and custom ones by name. */
export type Bundle = Readonly<Record<string, number | string>>;

export interface GroupOptions {
  /**
   * PACK: on as few nodes as can be; STRICT_PACK: on one; SPREAD: on as many as can be; STRICT_SPREAD: each on a node of its
   * own. Default PACK.
   */
  readonly strategy?: (typeof GROUP_STRATEGIES)[number] | undefined;
  /** Unique in its namespace; `getPlacementGroup(name)` finds it. */
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  /** 'detached' outlives its creator until it is removed. Default 'job'. */
  readonly lifetime?: "job" | "detached" | undefined;
}

/** Bundles of one group are at most so many. */
const BUNDLES_MAX = 1000;
/** The head is asked again after so long. */
const ASK_MS = 20_000;

/** A group, wherever its handle has been sent. Groups end with their job, or when they are removed, not with their handles. */
export class PlacementGroup {
  readonly id: string;
  /** As they were asked for. */
  readonly bundles: readonly Readonly<Record<string, number>>[];
  /** @internal The same in fixed point. */
  readonly shape: readonly Resources[];

  /** @internal */
  constructor(id: string, shape: readonly Resources[]) {
    this.id = id;
    this.shape = shape;
    this.bundles = shape.map(resourceAmounts);
  }

  /**
   * Resolves when all bundles are reserved.
   *
   * @throws GetTimeoutError after `timeoutMs`, with what the group waits for; PlacementGroupRemovedError when it is gone.
   */
  ready(options?: WaitOptions): Promise<void> {
    return groupReady(currentSession(), this, options);
  }

  /** Gives its resources back. What runs in it is ended, and fails with PlacementGroupRemovedError like what is yet to run. */
  remove(): Promise<void> {
    return removeGroup(currentSession(), this);
  }

  /** @internal */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [restoreGroup, [this.id, this.shape.map((resources) => ({ ...resources }))]];
  }
}

/** @internal The handle in another process. */
export function restoreGroup(id: string, shape: readonly Resources[]): PlacementGroup {
  return new PlacementGroup(id, shape);
}

/**
 * Asks for a group of bundles, each with its resources on one node. Resolves when the cluster has taken the request; wait for
 * its resources with `ready()`.
 *
 * @throws InvalidArgumentError for bundles that are none; NameTakenError.
 */
export async function placementGroup(bundles: readonly Bundle[], options: GroupOptions = {}): Promise<PlacementGroup> {
  return createGroup(currentSession(), bundles, options);
}

/** @internal */
export async function createGroup(session: Session, bundles: readonly Bundle[], options: GroupOptions): Promise<PlacementGroup> {
  const shape = shapeOf(bundles);
  const { strategy = "PACK", name = "", namespace, lifetime } = checkGroupOptions(options);
  const spec = {
    group: objectIdOf(session.parts.identity.processId, session.newNumber()),
    name, namespace: namespace ?? session.namespace, strategy, detached: lifetime === "detached",
    bundles: shape.map((resources) => ({ resources: { ...resources } })),
  };
  return handleOf(await session.ask("createGroup", { spec }, "group"));
}

/** @internal */
export async function groupReady(session: Session, { id }: PlacementGroup, options: WaitOptions | undefined): Promise<void> {
  const { signal } = checkWait("ready", options) ?? {};
  if (signal?.aborted) throw signal.reason;
  let waitsFor = "the cluster did not answer";
  const timedOut = () => {
    const text = `placement group ${id} was not ready after ${options?.timeoutMs} ms: ${waitsFor}`;
    return new GetTimeoutError(text, { groupId: id });
  };
  await session.waiting.until<undefined>(options, timedOut, (settle) => {
    let over = false;
    const look = (waitMs: number): void => {
      session.ask("findGroup", { group: id, waitMs }, "group", ASK_MS + waitMs).then(
        (info) => {
          waitsFor = info.reason;
          if (info.state === "CREATED") settle(undefined);
          else if (info.state === "REMOVED") settle(removedError(id, info.reason));
          else if (!over) look(ASK_MS);
        },
        (error: Error) => settle(error instanceof NotFoundError ? removedError(id, error.message) : error),
      );
    };
    // The first answer says what it waits for.
    look(0);
    return () => void (over = true);
  });
}

/** @internal */
export async function removeGroup(session: Session, { id }: PlacementGroup): Promise<void> {
  await session.ask("removeGroup", { group: id, reason: "remove() was called" }, "done");
}

function removedError(id: string, reason: string): PlacementGroupRemovedError {
  return new PlacementGroupRemovedError(`placement group ${id} was removed: ${reason}`, { groupId: id });
}

/** The living group of that name. NotFoundError when there is none. */
export async function getPlacementGroup(
  name: string, options: { readonly namespace?: string | undefined } = {},
): Promise<PlacementGroup> {
  const namespace = checkName("getPlacementGroup", name, options);
  const session = currentSession();
  return handleOf(await session.ask("findGroup", { name, namespace: namespace ?? session.namespace }, "group"));
}

function handleOf({ spec }: GroupInfo): PlacementGroup {
  return new PlacementGroup(spec?.group ?? "", spec?.bundles.map(({ resources }) => resources) ?? []);
}

function shapeOf(bundles: readonly Bundle[]): Resources[] {
  if (!Array.isArray(bundles) || bundles.length === 0 || bundles.length > BUNDLES_MAX)
    throw new InvalidArgumentError(`placementGroup: expected a list of 1 to ${BUNDLES_MAX} bundles such as [{ CPU: 1 }]`);
  return bundles.map((bundle: unknown, index) => {
    const where = `placementGroup: bundle ${index}`;
    if (typeof bundle !== "object" || bundle === null || Array.isArray(bundle))
      throw new InvalidArgumentError(`${where} must be an object of resources such as { CPU: 1 }, not ${String(bundle)}`);
    const { memory, ...others } = bundle as Bundle;
    const bytes = memory === undefined ? {} : { memory: bytesOf(memory) ?? memory };
    const parsed = parseResources({ ...others, ...bytes }, where);
    if ("text" in parsed) throw new InvalidArgumentError(parsed.text);
    if (Object.keys(parsed.resources).length === 0) throw new InvalidArgumentError(`${where} asks for nothing`);
    return parsed.resources;
  });
}
