// Frames between processes on different machines: passed on undecoded, process -> its agent -> the other agent -> process.

import { failureOf, NotFoundError } from "../errors.ts";
import type { Channel, Relay, RelayClosed, SendOf } from "../transport/index.ts";

/** A process of this node. */
export interface RelayTarget {
  relay(message: Relay): void;
  relayClosed(message: RelayClosed): void;
}

export interface RelayParts {
  readonly nodeId: string;
  readonly local: (process: string) => RelayTarget | undefined;
  readonly connect: (node: string) => Promise<Channel>;
}

export function relay(message: Relay, parts: RelayParts): void {
  if (message.toNode !== parts.nodeId) {
    parts.connect(message.toNode).then(
      (channel) => channel.send("relay", message),
      (error: unknown) => bounce(message, parts, error),
    );
    return;
  }
  const target = parts.local(message.to);
  if (target !== undefined) return target.relay(message);
  bounce(message, parts, new NotFoundError(`process ${message.to} is not on node ${parts.nodeId} any more`));
}

export function relayClosed(message: SendOf<"relayClosed">, parts: RelayParts): void {
  const { to, toNode } = message as RelayClosed;
  if (toNode === parts.nodeId) return parts.local(to)?.relayClosed(message as RelayClosed);
  // Out of reach means that the other end has ended or will be told so.
  parts.connect(toNode).then((channel) => channel.send("relayClosed", message), () => {});
}

/** Tells the sender that its relayed channel is broken. */
function bounce(message: Relay, parts: RelayParts, error: unknown): void {
  const { to, toNode, from, fromNode, link, opener } = message;
  relayClosed(
    { to: from, toNode: fromNode, from: to, fromNode: toNode, link, opener: !opener, failure: failureOf(error) },
    parts,
  );
}
