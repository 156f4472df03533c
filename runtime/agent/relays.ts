// Frames between processes on different machines: passed on undecoded, process -> its agent -> the other agent -> process.
//
// A relayed channel has no socket of its own that could break. So the agent remembers who talks to whom. When one of its
// processes is gone it tells the others, behind everything that one had sent; when a node is out of reach, its own processes.

import { ConnectionError, failureOf, NotFoundError } from "../errors.ts";
import type { Channel, Failure, Relay, RelayClosed, SendOf } from "../transport/index.ts";
import type { Gateways } from "./gateways.ts";

/** A process that this agent is home to. */
export interface RelayTarget {
  relay(message: Relay): void;
  relayClosed(message: RelayClosed): void;
}

export interface RelayParts {
  readonly nodeId: string;
  readonly gateways: Gateways;
  readonly local: (process: string) => RelayTarget | undefined;
  readonly connect: (node: string) => Promise<Channel>;
}

/** In a RelayClosed: all channels between the two processes. */
const EVERY_LINK = 0;

export class Relays {
  readonly #parts: RelayParts;
  /** Processes of this node, and whom each talks to: process and its node. */
  readonly #talks = new Map<string, Map<string, string>>();

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  pass(message: Relay): void {
    const { nodeId, gateways, connect, local } = this.#parts;
    const { to, toNode, from, fromNode } = message;
    if (gateways.isHere(fromNode)) this.#note(from, to, toNode);
    if (!gateways.isHere(toNode)) {
      connect(toNode).then(
        (channel) => channel.send("relay", message),
        (error: unknown) => this.#bounce(message, error),
      );
      return;
    }
    const target = local(to);
    if (target === undefined) {
      return this.#bounce(message, new NotFoundError(`process ${to} is not on node ${nodeId} any more`));
    }
    this.#note(to, from, fromNode);
    target.relay(message);
  }

  passClosed(message: SendOf<"relayClosed">): void {
    const { to, toNode } = message as RelayClosed;
    if (this.#parts.gateways.isHere(toNode)) return this.#parts.local(to)?.relayClosed(message as RelayClosed);
    // Out of reach means that the other end has ended or will be told so.
    this.#parts.connect(toNode).then((channel) => channel.send("relayClosed", message), () => {});
  }

  /** A process of this node has ended, and sends nothing any more. */
  processGone(process: string): void {
    const others = this.#talks.get(process);
    this.#talks.delete(process);
    const failure = failureOf(new ConnectionError(`process ${process} has ended`)) as Failure;
    for (const [to, toNode] of others ?? []) {
      this.passClosed({ to, toNode, from: process, fromNode: this.#parts.nodeId, failure, link: EVERY_LINK });
    }
  }

  /** A process of another node has ended: its own agent says so to whom it talked to. */
  processDiedElsewhere(process: string): void {
    for (const others of this.#talks.values()) others.delete(process);
  }

  /** Frames to and from that node may have been lost. */
  nodeLost(node: string, failure: Failure | undefined): void {
    for (const [to, others] of this.#talks) {
      for (const [from, fromNode] of [...others]) {
        if (this.#parts.gateways.of(fromNode) !== node) continue;
        others.delete(from);
        this.passClosed({ to, toNode: this.#parts.nodeId, from, fromNode, failure, link: EVERY_LINK });
      }
    }
  }

  #note(process: string, other: string, node: string): void {
    const others = this.#talks.get(process);
    if (others === undefined) this.#talks.set(process, new Map([[other, node]]));
    else if (others.get(other) !== node) others.set(other, node);
  }

  /** Tells the sender that its relayed channel is broken. */
  #bounce({ to, toNode, from, fromNode, link, opener }: Relay, error: unknown): void {
    const failure = failureOf(error) as Failure;
    this.passClosed({ to: from, toNode: fromNode, from: to, fromNode: toNode, link, opener: !opener, failure });
  }
}
