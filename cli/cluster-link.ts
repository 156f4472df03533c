// A command's link to a running cluster: asks an agent, and is no job.

import { ConnectionError, type TroupeError, errorOf } from "../runtime/errors.ts";
import { systemClock, systemRandom } from "../runtime/system.ts";
import {
  type AnswerName, type AnswerOf, Caller, type CallName, type CallOf, type Channel, type Draft, systemTransport, type Transport,
} from "../runtime/transport/index.ts";
import { findTarget, shapeRow, type StateKind, type Target } from "../sdk/contract.ts";
import { type ConnectOptions, hostAndPort, refuseExposure } from "./option-values.ts";

const DIAL_TIMEOUT_MS = 10_000;
const ROWS_MAX = 1_000_000;
const ASK_TIMEOUT_MS = 25_000;

export type Row = Readonly<Record<string, unknown>>;

export class ClusterLink {
  readonly #channel: Channel;
  readonly #caller: Caller;

  private constructor(channel: Channel, caller: Caller) {
    this.#channel = channel;
    this.#caller = caller;
  }

  static async open(address: string, token: string, trustedNetwork: boolean): Promise<ClusterLink> {
    const transport: Transport = systemTransport({ clock: systemClock, trustedNetwork });
    const caller = new Caller(systemClock);
    const identity = { kind: "command", processId: systemRandom.hex(8), nodeId: "", clusterId: "", token } as const;
    const handler = {
      messages: { answer: caller.answered.bind(caller), goodbye: () => {} },
      onClose: caller.closed.bind(caller),
    };
    // Nothing else keeps the process alive while it waits.
    const alive = systemClock.after(DIAL_TIMEOUT_MS, () => {}, true);
    try {
      const channel = await transport.dial(address, identity, handler, { timeoutMs: DIAL_TIMEOUT_MS });
      return new ClusterLink(channel, caller);
    } finally {
      alive.cancel();
    }
  }

  get clusterId(): string {
    return this.#channel.peer.clusterId;
  }

  get nodeId(): string {
    return this.#channel.peer.nodeId;
  }

  /** All rows of a kind, from the whole cluster; who did not answer is named on stderr. */
  async rows(kind: StateKind, filters: Readonly<Record<string, string>> = {}, limit = ROWS_MAX): Promise<Row[]> {
    const { json, missing } = await this.ask("listState", { kind, filters, limit }, "stateRows");
    for (const one of missing) process.stderr.write(`not told: ${one}\n`);
    return (JSON.parse(json) as object[]).map((row) => shapeRow(kind, row) as object as Row);
  }

  async ask<N extends CallName, A extends AnswerName>(name: N, body: Draft<CallOf<N>>, expected: A): Promise<AnswerOf<A>> {
    const alive = systemClock.after(ASK_TIMEOUT_MS, () => {}, true);
    try {
      return await this.#caller.call(this.#channel, name, body, expected, { timeoutMs: ASK_TIMEOUT_MS });
    } finally {
      alive.cancel();
    }
  }

  /** No new work for that node from now on. */
  async drain(node: string): Promise<void> {
    const alive = systemClock.after(ASK_TIMEOUT_MS, () => {}, true);
    try {
      await this.#caller.call(this.#channel, "drainNode", { node }, "done", { timeoutMs: ASK_TIMEOUT_MS });
    } finally {
      alive.cancel();
    }
  }

  close(): void {
    this.#channel.close("the command is done");
  }
}

export interface Found {
  readonly link: ClusterLink;
  readonly target: Target;
  readonly trustedNetwork: boolean;
}

/** Opens a link to the cluster that the options, the environment or this machine name. */
export async function findCluster(options: ConnectOptions): Promise<Found> {
  const address = options.address ?? process.env.TROUPE_ADDRESS ?? "auto";
  const target = findTarget({ address, tokenFile: options.tokenFile });
  const trustedNetwork = options.insecureIUnderstand === true || target.record?.trustedNetwork === true;
  const host = hostAndPort(target.agentAddress)?.host;
  if (host !== undefined) refuseExposure(`the address ${host}`, host, options.insecureIUnderstand);
  return { link: await ClusterLink.open(target.agentAddress, target.token, trustedNetwork), target, trustedNetwork };
}

/** Opens a link, uses it, closes it. */
export async function withCluster<T>(options: ConnectOptions, use: (found: Found) => Promise<T>): Promise<T> {
  const found = await findCluster(options);
  try {
    return await use(found);
  } finally {
    found.link.close();
  }
}

/** What an agent said of its failed start. */
export function failureTold(told: unknown): TroupeError {
  const { code, text } = (told ?? {}) as { code?: unknown; text?: unknown };
  if (typeof code !== "string" || typeof text !== "string") return new ConnectionError("it did not say why");
  return errorOf(told as Parameters<typeof errorOf>[0]);
}
