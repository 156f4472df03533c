// The drivers and workers that this agent is home to, while their channels are open.

import type { Channel, Peer, SendOf } from "../../transport/index.ts";

export interface LocalProcess {
  readonly peer: Peer;
  readonly channel: Channel;
  /** False for a driver on a machine without an agent. */
  readonly sharesMemory: boolean;
}

export class LocalProcesses {
  readonly #processes = new Map<string, LocalProcess>();

  add(process: LocalProcess): void {
    this.#processes.set(process.peer.processId, process);
  }

  remove(process: string): void {
    this.#processes.delete(process);
  }

  channelOf(process: string): Channel | undefined {
    return this.#processes.get(process)?.channel;
  }

  /** It can write to this node's claim pages. */
  sharesMemory(process: string): boolean {
    return this.#processes.get(process)?.sharesMemory === true;
  }

  values(): IterableIterator<LocalProcess> {
    return this.#processes.values();
  }

  tell<N extends "processDied" | "nodeDied" | "collectGarbage" | "objectsEnded">(name: N, body: SendOf<N>): void {
    for (const { channel } of this.#processes.values()) channel.send(name, body);
  }

  close(reason: string): void {
    for (const { channel } of this.#processes.values()) channel.close(reason);
  }
}
