// What other processes tell a session: outcomes of what it submitted, and the talk between owners and borrowers.

import type { MessageHandlers } from "../transport/index.ts";
import { cancelOwn } from "./tasks/cancelling.ts";
import { heartbeatHeard } from "./tasks/heartbeats.ts";
import { noteHeard } from "./tasks/notes.ts";
import type { Session } from "./session.ts";

export function processMessages(session: Session): MessageHandlers {
  return {
    taskDone: (done, channel) => {
      const link = session.links.of(channel);
      if (session.actors.owns(done.task)) session.actors.callDone(done, link);
      else session.submission.taskDone(done, link);
    },
    cancelObject: ({ object, force, recursive }) => cancelOwn(session, object, { force, recursive }),
    heartbeat: (message) => heartbeatHeard(session, message),
    note: (message) => noteHeard(session, message),
    callStuck: (message) => session.stuckCalls.told(message),
    borrow: (message) => session.borrowing.onBorrow(message),
    drop: (message, channel) => session.borrowing.onDrop(message, session.links.of(channel)),
    subscribe: (message, channel) => session.borrowing.onSubscribe(message, session.links.of(channel)),
    lostObject: (message, channel) => session.borrowing.onLost(message, session.links.of(channel), (entry, place) => {
      session.recovery.missing(entry, place, `a reader did not find it on node ${place.node}`);
    }),
    resolved: (message) => session.borrowing.onResolved(message),
  };
}
