// The way of orders and answers: an order comes from a process of this node, or was passed on by the agent of another one,
// and what is said of it goes back the way it came. A node that can't be reached is dead or dying, and its leases with it.

import type { Channel, MessageName, SendOf } from "../transport/index.ts";
import type { LocalProcesses } from "./workers/local-processes.ts";

type Answer = "leaseGranted" | "leaseRefused" | "leaseRevoked" | "processDied";

export class LeaseRoutes {
  readonly #processes: LocalProcesses;
  readonly #connectPeer: (node: string) => Promise<Channel>;
  /** Nodes whose agents passed a process's orders on to this one. */
  readonly #via = new Map<string, string>();
  /** Leases of other nodes that came back in this turn. */
  #returns: { readonly lease: string; readonly node: string; readonly reason: string }[] = [];

  constructor(processes: LocalProcesses, connectPeer: (node: string) => Promise<Channel>) {
    this.#processes = processes;
    this.#connectPeer = connectPeer;
  }

  /** An order of `origin` came, from its own process when `node` is "". */
  cameFrom(origin: string, node: string): void {
    if (node !== "") this.#via.set(origin, node);
  }

  /** Of a process of this node: "". */
  nodeOf(origin: string): string {
    return this.#via.get(origin) ?? "";
  }

  gone(origin: string): void {
    this.#via.delete(origin);
  }

  /** Whose orders that node's agent passed on. */
  passedOnBy(node: string): string[] {
    return [...this.#via].flatMap(([origin, via]) => (via === node ? [origin] : []));
  }

  answer<N extends Answer>({ origin }: { readonly origin: string }, name: N, body: SendOf<N>): void {
    const via = this.#via.get(origin);
    if (via === undefined) this.#processes.channelOf(origin)?.send(name, body);
    else this.tell(via, name, body);
  }

  tell<N extends MessageName>(node: string, name: N, body: SendOf<N>, unreached = (): void => {}): void {
    this.#connectPeer(node).then((channel) => channel.send(name, body), unreached);
  }

  /** Told with `passReturns`, after the orders: a lease that comes back while its order stands is granted anew. */
  returned(lease: string, node: string): void {
    this.#returns.push({ lease, node, reason: "" });
  }

  passReturns(): void {
    for (const returned of this.#returns) this.tell(returned.node, "leaseReturned", returned);
    this.#returns = [];
  }
}
