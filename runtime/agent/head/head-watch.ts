// Whether the head's node answers this one, and the head its agent.
//
// A node that nobody answers may be about to be declared dead: it ends before that, so that what runs there never runs twice. A
// head that does not turn is ended by its agent, its parent, and started again.

import { NODE_FENCE_MS, Silence } from "../../core/index.ts";
import type { Clock, Timer } from "../../seams.ts";
import type { Channel } from "../../transport/index.ts";

const ASK_EVERY_MS = 1000;
/** Longer than a node's fence: a head that is slow shall not be called dead before nodes are. */
const HEAD_SILENCE_MS = 10_000;

export interface HeadWatchParts {
  readonly clock: Clock;
  /** The head itself for the agent of its machine; for others that agent. Undefined while there is none. */
  readonly asked: () => Channel | undefined;
  readonly isParent: boolean;
  readonly silent: (ms: number) => void;
}

export class HeadWatch {
  readonly #parts: HeadWatchParts;
  #silence: Silence;
  #of: Channel | undefined;
  #timer: Timer | undefined;

  constructor(parts: HeadWatchParts) {
    this.#parts = parts;
    this.#silence = this.#anew();
  }

  start(): void {
    this.#timer = this.#parts.clock.after(ASK_EVERY_MS, () => {
      this.#look();
      this.start();
    });
  }

  /** It answered. */
  heard(channel: Channel): void {
    if (channel === this.#of) this.#silence.heard(ONE);
  }

  close(): void {
    this.#timer?.cancel();
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #look(): void {
    const { clock, asked, silent } = this.#parts;
    const found = asked();
    const channel = found?.open ? found : undefined;
    if (channel !== this.#of) {
      this.#of = channel;
      this.#silence = this.#anew();
      this.#silence.heard(ONE);
    }
    if (channel === undefined) return;
    for (const { silentMs } of this.#silence.look(clock.now())) silent(Math.round(silentMs));
    channel.send("ping", { nonce: 0 });
  }

  #anew(): Silence {
    return new Silence({ limitMs: this.#parts.isParent ? HEAD_SILENCE_MS : NODE_FENCE_MS, lookEveryMs: ASK_EVERY_MS });
  }
}

/** The only one that is watched. */
const ONE = "";
