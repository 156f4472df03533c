// Drivers on machines without an agent: each is on a node of its own, one without store or workers, and is reached through the
// agent that it dialled. Everybody else sees a process of another node.

/** Routes that are kept: those of drivers that are gone lead to an agent that says so. */
const ROUTES_MAX = 10_000;

export class Gateways {
  readonly #nodeId: string;
  readonly #routes = new Map<string, string>();

  constructor(nodeId: string) {
    this.#nodeId = nodeId;
  }

  /** The driver of `driverNode` is at the agent of node `home`. */
  learn(driverNode: string, home: string): void {
    if (driverNode === home || driverNode === "") return;
    this.#routes.delete(driverNode);
    this.#routes.set(driverNode, home);
    const [oldest] = this.#routes.keys();
    if (this.#routes.size > ROUTES_MAX) this.#routes.delete(oldest);
  }

  /** The node whose agent to ask for processes of `node`. */
  of(node: string): string {
    return this.#routes.get(node) ?? node;
  }

  /** Its processes are this agent's own. */
  isHere(node: string): boolean {
    return this.of(node) === this.#nodeId;
  }
}
