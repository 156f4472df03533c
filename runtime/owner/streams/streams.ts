// The streams of a session: its own and those of others, and who makes the items of its own: the task or call of the same number,
// wherever it runs.

import type { StreamPosition } from "../../core/index.ts";
import type { Channel, Lifetime, MessageHandlers, StreamHanded } from "../../transport/index.ts";
import { BorrowedStreams } from "./borrowed-streams.ts";
import type { Link, ProcessAddress } from "../links.ts";
import { type ObjectEntry, objectIdOf, type ObjectRef, type WaitOptions } from "../objects/object-ref.ts";
import { OwnStreams, type OwnStreamsParts } from "./own-streams.ts";
import type { Session } from "../session.ts";

export class Streams {
  readonly own: OwnStreams;
  readonly #borrowed: BorrowedStreams;
  readonly #processId: string;
  readonly #recovery: Session["recovery"];

  constructor(session: Session, connect: (address: ProcessAddress) => Promise<Link>) {
    const { borrowing, waiting, parts, recovery } = session;
    this.#recovery = recovery;
    const newEntry = () => session.newEntry();
    const waitingFor = (entries: readonly ObjectEntry[]) => session.waitingFor(entries);
    const keepLater = (entry: ObjectEntry, scope: Lifetime) => session.keeping.keepLater(entry, scope);
    this.own = new OwnStreams({ borrowing, waiting, newEntry, keepLater, session, waitingFor, ...producers(session) });
    this.#borrowed = new BorrowedStreams({ borrowing, waiting, newEntry, connect });
    this.#processId = parts.identity.processId;
  }

  /** Where the next attempt of a task or call begins; undefined for what is no stream. */
  position(number: number): StreamPosition | undefined {
    return this.own.position(number) ?? this.#recovery.items.position(number);
  }

  next(stream: ObjectEntry, options: WaitOptions | undefined): Promise<ObjectRef | undefined> {
    const isOwn = stream.owner === this.#processId;
    return isOwn ? this.own.next(stream.number, options) : this.#borrowed.next(stream, options);
  }

  leave(stream: ObjectEntry): Promise<void> {
    return stream.owner === this.#processId ? this.own.leave(stream.number) : this.#borrowed.leave(stream);
  }

  /** From the owner of a stream that is read here. */
  handed(handed: StreamHanded): void {
    this.#borrowed.handed(handed);
  }

  linkClosed(link: Link): void {
    this.own.linkClosed(link);
    this.#borrowed.linkClosed(link);
  }

  processDied(process: string, text: string): void {
    this.own.processDied(process);
    this.#borrowed.processDied(process, text);
  }

  /** The session ends. */
  close(): void {
    this.#borrowed.close();
  }
}

function producers(session: Session): Pick<OwnStreamsParts, "producer" | "takenHere" | "end" | "came" | "cameAgain"> {
  const { items } = session.recovery;
  return {
    came: (task, index, entry) => items.came(task, index, entry),
    cameAgain: (task, index, value) => items.arrived(task, index, value),
    producer(number) {
      const { submission, actors } = session;
      const task = submission.find(number);
      if (task !== undefined) return { link: task.lease?.link, attempt: task.life.attempt };
      const found = actors.find(number);
      return found?.client.link && { link: found.client.link, attempt: found.call.attempt };
    },
    takenHere(number, attempt, taken) {
      session.attempts.find(objectIdOf(session.parts.identity.processId, number), attempt)?.taken?.(taken);
    },
    end(number, reason) {
      const { submission, actors } = session;
      const task = submission.find(number);
      if (task !== undefined) return void submission.cancel(task, reason, { force: false, recursive: true });
      const found = actors.find(number);
      if (found !== undefined) actors.cancel(found.call, reason, true);
    },
  };
}

export function streamMessages(session: Session): MessageHandlers {
  const linkOf = (channel: Channel) => session.links.of(channel);
  return {
    streamItem: (item, channel) => session.streams.own.arrived(item, linkOf(channel)),
    streamTaken: ({ task, attempt, taken }, channel) => {
      session.attempts.find(objectIdOf(linkOf(channel).process, task), attempt)?.taken?.(taken);
    },
    streamPull: (pull, channel) => session.streams.own.pull(pull, linkOf(channel)),
    streamHanded: (handed) => session.streams.handed(handed),
  };
}
