// Life of one actor, as the agent that hosts it sees it: pending -> starting -> alive -> restarting | dead.
//
// Pure. A restart makes a new incarnation: what was said to or by an older one is ignored. The budget counts restarts that
// were charged; a death that the system wanted (kill without restart, last handle gone, owner gone) ends the actor.

export type ActorState = "pending" | "starting" | "alive" | "restarting" | "dead";

export interface ActorLife {
  state: ActorState;
  /** 0 for the first. */
  incarnation: number;
  /** Charged restarts still allowed; -1 is endless. */
  restartsLeft: number;
  restarts: number;
  /** It has restarts at all: those that are not charged have no limit. */
  readonly mayRestart: boolean;
}

export type ActorEvent =
  /** A worker was leased for this incarnation. */
  | { readonly kind: "placed"; readonly incarnation: number }
  | { readonly kind: "constructed"; readonly incarnation: number }
  /** The constructor threw: the actor is dead with that cause; user code that throws would throw again. */
  | { readonly kind: "constructorThrew"; readonly incarnation: number }
  | { readonly kind: "workerDied"; readonly incarnation: number }
  /** The process that it shared with others ended: it is charged only when it was the cause. */
  | { readonly kind: "hostDied"; readonly incarnation: number; readonly charged: boolean }
  | { readonly kind: "kill"; readonly restart: boolean }
  /** Last handle gone, owner or job ended, exitActor. */
  | { readonly kind: "end" }
  /** No node can ever host it. */
  | { readonly kind: "refused" };

/**
 * construct: send the spec to the placed worker. announce: tell head and callers the new state. place: ask for a worker.
 * endWorker: the worker process must go. release: give its resources back.
 */
export type ActorEffect = "construct" | "announce" | "place" | "endWorker" | "release";

const NOTHING: readonly ActorEffect[] = [];

/** `maxRestarts`: what is left of them. */
export function newActorLife(maxRestarts: number, incarnation = 0, restarts = 0, mayRestart = maxRestarts !== 0): ActorLife {
  return { state: "pending", incarnation, restartsLeft: maxRestarts, restarts, mayRestart };
}

export function stepActor(actor: ActorLife, event: ActorEvent): readonly ActorEffect[] {
  if (actor.state === "dead") return NOTHING;
  switch (event.kind) {
    case "placed":
      if (event.incarnation !== actor.incarnation || !isUnplaced(actor)) return NOTHING;
      actor.state = "starting";
      return ["construct"];
    case "constructed":
      if (event.incarnation !== actor.incarnation || actor.state !== "starting") return NOTHING;
      actor.state = "alive";
      return ["announce"];
    case "constructorThrew":
      if (event.incarnation !== actor.incarnation || actor.state !== "starting") return NOTHING;
      return die(actor);
    case "workerDied":
      if (event.incarnation !== actor.incarnation || isUnplaced(actor)) return NOTHING;
      return restartOrDie(actor, ["release"]);
    case "hostDied":
      if (event.incarnation !== actor.incarnation || isUnplaced(actor)) return NOTHING;
      return event.charged || !actor.mayRestart ? restartOrDie(actor, ["release"]) : restart(actor, ["release"]);
    case "kill":
      if (!event.restart) return die(actor);
      // What has no worker is about to start anyway.
      return isUnplaced(actor) ? NOTHING : restartOrDie(actor, ["endWorker", "release"]);
    case "end":
    case "refused":
      return die(actor);
  }
}

function isUnplaced(actor: ActorLife): boolean {
  return actor.state === "pending" || actor.state === "restarting";
}

function restartOrDie(actor: ActorLife, first: readonly ActorEffect[]): readonly ActorEffect[] {
  if (actor.restartsLeft === 0) {
    actor.state = "dead";
    return [...first, "announce"];
  }
  if (actor.restartsLeft > 0) actor.restartsLeft -= 1;
  actor.restarts += 1;
  return restart(actor, first);
}

function restart(actor: ActorLife, first: readonly ActorEffect[]): readonly ActorEffect[] {
  actor.incarnation += 1;
  actor.state = "restarting";
  return [...first, "announce", "place"];
}

function die(actor: ActorLife): readonly ActorEffect[] {
  const placed = !isUnplaced(actor);
  actor.state = "dead";
  return placed ? ["endWorker", "release", "announce"] : ["announce"];
}
