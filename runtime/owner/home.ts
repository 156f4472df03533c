// What a session has from its agent once it has joined its node: a channel, the object store, claim pages.
//
// Work may be submitted before that. Whoever needs the agent looks at `ready` or waits for `joined`; nothing is sent before.

import { ConnectionError } from "../errors.ts";
import type { Clock } from "../seams.ts";
import type { ClaimBook, StoreClient } from "../store/index.ts";
import type { Garbage } from "./objects/garbage.ts";
import { Hold, type Channel } from "../transport/index.ts";
import type { FarStore } from "./objects/far-store.ts";

/** What the agent's welcome brings. */
export interface HomeParts {
  readonly agent: Channel;
  readonly store: StoreClient | undefined;
  /** In place of a store, for a process that shares no memory with its agent. */
  /** Reads objects wherever they are, part by part. */
  readonly chunks: FarStore;
  readonly far: FarStore | undefined;
  readonly claims: ClaimBook | undefined;
  /** Undefined where collections are not up to the process. */
  readonly garbage: Garbage | undefined;
}

export class Home {
  /** Resolves when the agent takes requests; rejects with why it never will. */
  readonly joined: Promise<void>;
  /** True from then on, also when the agent is gone again. */
  ready = false;
  #parts: HomeParts | undefined;
  #settle!: { readonly resolve: () => void; readonly reject: (error: Error) => void };
  readonly #hold: Hold;
  #held = false;
  #closed = false;

  constructor(clock: Clock) {
    this.#hold = new Hold(clock);
    this.joined = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    // Who waits for it is told; a session that nobody waits for may fail.
    this.joined.catch(() => {});
  }

  get agent(): Channel {
    if (this.#parts !== undefined) return this.#parts.agent;
    throw new ConnectionError("this process has not joined its node yet");
  }

  get store(): StoreClient | undefined {
    return this.#parts?.store;
  }

  /** For whoever joined a node of its own machine. */
  storeHere(): StoreClient {
    if (this.store !== undefined) return this.store;
    throw new ConnectionError("this process maps no object store of a node");
  }

  get chunks(): FarStore | undefined {
    return this.#parts?.chunks;
  }

  get far(): FarStore | undefined {
    return this.#parts?.far;
  }

  get claims(): ClaimBook | undefined {
    return this.#parts?.claims;
  }

  get garbage(): Garbage | undefined {
    return this.#parts?.garbage;
  }

  /** True while something can be said to the agent. */
  get open(): boolean {
    return this.ready && this.agent.open;
  }

  /** The agent has welcomed this process. */
  entered(parts: HomeParts): void {
    this.#parts = parts;
    if (this.#closed) this.#leave();
  }

  /** Everything is in place. */
  opened(): void {
    if (this.#closed) return;
    this.ready = true;
    this.#hold.set(false);
    this.agent.hold(this.#held);
    this.#settle.resolve();
  }

  /** The end, before or after `opened`. */
  closed(error: Error): void {
    this.#closed = true;
    this.#hold.set(false);
    this.#settle.reject(error);
    this.#leave();
  }

  /** Keeps the process alive, or no longer: first by itself, then by the channel. */
  hold(alive: boolean): void {
    this.#held = alive;
    if (this.ready) this.agent.hold(alive);
    else if (!this.#closed) this.#hold.set(alive);
  }

  #leave(): void {
    this.#parts?.garbage?.close();
    this.#parts?.store?.close();
    this.#parts?.agent.close("the session ended");
  }
}
