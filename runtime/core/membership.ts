// Which nodes belong to the cluster and which are dead: the head's view.
//
// Pure. A node is alive while its reports come; it is dead when its link is lost or it is silent for NODE_SILENCE_MS. A dead node
// never comes back: an agent that was declared dead and returns is refused and must join as a new node.

import { Silence } from "./silence.ts";

export type NodeState = "ALIVE" | "DRAINING" | "DEAD";

export interface NodeRecord {
  readonly id: string;
  /** Process of its agent: one incarnation. */
  readonly process: string;
  state: NodeState;
  reason: string;
  version: number;
}

/** Agents report every second; this many milliseconds without one are a death. Networks may fail for five seconds. */
export const NODE_SILENCE_MS = 9000;
/** A node that nobody answers for so long ends by itself, before anybody may think it dead. */
export const NODE_FENCE_MS = 7000;
/** The time between two ticks. */
export const LOOK_EVERY_MS = 500;
export const DEAD_NODES_KEPT = 1000;

export type MembershipEvent =
  | { readonly kind: "joined"; readonly node: string; readonly process: string }
  /** An earlier head of this cluster knew it. */
  | {
    readonly kind: "restored"; readonly node: string; readonly process: string;
    readonly state: NodeState; readonly reason: string;
  }
  | { readonly kind: "reported"; readonly node: string; readonly version: number }
  | { readonly kind: "linkLost"; readonly node: string; readonly reason: string }
  | { readonly kind: "draining"; readonly node: string }
  | { readonly kind: "tick"; readonly now: number };

export type MembershipEffect =
  | { readonly kind: "died"; readonly node: string; readonly reason: string }
  | { readonly kind: "viewChanged" }
  | { readonly kind: "refuse"; readonly text: string };

export class Membership {
  readonly nodes = new Map<string, NodeRecord>();
  readonly #silence = new Silence({ limitMs: NODE_SILENCE_MS, lookEveryMs: LOOK_EVERY_MS });

  step(event: MembershipEvent): MembershipEffect[] {
    switch (event.kind) {
      case "joined":
        return this.#joined(event.node, event.process);
      case "restored":
        return this.#restored(event.node, event.process, event.state, event.reason);
      case "reported":
        return this.#reported(event.node, event.version);
      case "linkLost":
        return this.#died(event.node, event.reason);
      case "draining":
        return this.#draining(event.node);
      case "tick":
        return this.#tick(event.now);
    }
  }

  #joined(node: string, process: string): MembershipEffect[] {
    const known = this.nodes.get(node);
    if (known?.state === "DEAD")
      return [{ kind: "refuse", text: `node ${node} was declared dead (${known.reason}); join as a new node` }];
    if (known !== undefined && known.process !== process) {
      return [{ kind: "refuse", text: `node ${node} already belongs to the cluster with another agent process` }];
    }
    this.#silence.heard(node);
    if (known !== undefined) return [];
    this.nodes.set(node, { id: node, process, state: "ALIVE", reason: "", version: 0 });
    return [{ kind: "viewChanged" }];
  }

  #restored(node: string, process: string, state: NodeState, reason: string): MembershipEffect[] {
    this.nodes.set(node, { id: node, process, state, reason, version: 0 });
    if (state !== "DEAD") this.#silence.heard(node);
    return [];
  }

  #reported(node: string, version: number): MembershipEffect[] {
    const known = this.nodes.get(node);
    if (known === undefined || known.state === "DEAD") return [];
    this.#silence.heard(node);
    if (version <= known.version) return [];
    known.version = version;
    return [{ kind: "viewChanged" }];
  }

  #draining(node: string): MembershipEffect[] {
    const known = this.nodes.get(node);
    if (known === undefined || known.state !== "ALIVE") return [];
    known.state = "DRAINING";
    return [{ kind: "viewChanged" }];
  }

  #tick(now: number): MembershipEffect[] {
    return this.#silence.look(now).flatMap(({ subject, silentMs }) => {
      return this.#died(subject, `no report for ${Math.round(silentMs)} ms`);
    });
  }

  #died(node: string, reason: string): MembershipEffect[] {
    const known = this.nodes.get(node);
    if (known === undefined || known.state === "DEAD") return [];
    this.#silence.forget(node);
    known.state = "DEAD";
    known.reason = reason;
    // In the order of their deaths: the ones that are forgotten have been dead for the longest.
    this.nodes.delete(node);
    this.nodes.set(node, known);
    const dead = [...this.nodes.values()].filter((one) => one.state === "DEAD");
    if (dead.length > DEAD_NODES_KEPT) this.nodes.delete(dead[0].id);
    return [{ kind: "died", node, reason }, { kind: "viewChanged" }];
  }
}
