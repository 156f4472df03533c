// The drivers and workers of this node, while their channels are open.

import type { Channel, Peer, SendOf } from "../transport/index.ts";

export interface LocalProcess {
  readonly peer: Peer;
  readonly channel: Channel;
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

  values(): IterableIterator<LocalProcess> {
    return this.#processes.values();
  }

  tell<N extends "processDied" | "nodeDied">(name: N, body: SendOf<N>): void {
    for (const { channel } of this.#processes.values()) channel.send(name, body);
  }

  close(reason: string): void {
    for (const { channel } of this.#processes.values()) channel.close(reason);
  }
}
