// Life of one object in a process that knows it: pending -> ready | failed -> freed; ready -> lost when its last copy is gone,
// and pending again when somebody asks for it. One that is freed while there are refs to it is revoked: it fails from then on.
//
// Pure. A repeat of its resolution is ignored, so a reply that arrives twice cannot replace what readers have seen.

export type ObjectState = "pending" | "ready" | "failed" | "lost" | "freed";

export type ObjectEvent = "resolved" | "rejected" | "copyLost" | "sought" | "released" | "revoked";
export type ObjectEffect = "wakeReaders" | "freeCopies" | "none" | "ignore";

export function stepObject(
  state: ObjectState,
  event: ObjectEvent,
): { readonly state: ObjectState; readonly effect: ObjectEffect } {
  return TABLE[state][event];
}

const IGNORED = (state: ObjectState) => ({ state, effect: "ignore" }) as const;
const ENDED = (state: ObjectState) => ({
  resolved: IGNORED(state),
  rejected: IGNORED(state),
  copyLost: IGNORED(state),
  sought: IGNORED(state),
  released: { state: "freed", effect: "none" } as const,
  revoked: IGNORED(state),
});

const TABLE: Record<ObjectState, Record<ObjectEvent, { readonly state: ObjectState; readonly effect: ObjectEffect }>> = {
  pending: {
    resolved: { state: "ready", effect: "wakeReaders" },
    rejected: { state: "failed", effect: "wakeReaders" },
    copyLost: IGNORED("pending"),
    sought: IGNORED("pending"),
    // Nobody waits: the task goes on, its result is freed on arrival.
    released: { state: "freed", effect: "none" },
    revoked: { state: "freed", effect: "wakeReaders" },
  },
  ready: {
    resolved: IGNORED("ready"),
    rejected: IGNORED("ready"),
    copyLost: { state: "lost", effect: "none" },
    sought: IGNORED("ready"),
    released: { state: "freed", effect: "freeCopies" },
    revoked: { state: "freed", effect: "freeCopies" },
  },
  failed: ENDED("failed"),
  lost: {
    // Another copy was found.
    resolved: { state: "ready", effect: "wakeReaders" },
    rejected: { state: "failed", effect: "wakeReaders" },
    copyLost: IGNORED("lost"),
    sought: { state: "pending", effect: "none" },
    released: { state: "freed", effect: "none" },
    revoked: { state: "freed", effect: "wakeReaders" },
  },
  freed: {
    resolved: { state: "freed", effect: "freeCopies" },
    rejected: IGNORED("freed"),
    copyLost: IGNORED("freed"),
    sought: IGNORED("freed"),
    released: IGNORED("freed"),
    revoked: IGNORED("freed"),
  },
};
