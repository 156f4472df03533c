// Both ends of links: who dials one, and the sessions of who listens.

import { ConnectionError, DeadlineError, failureOf } from "../errors.ts";
import type { Clock, Random } from "../seams.ts";
import type { Admission, Channel, ChannelHandler, DialOptions, Identity, Peer } from "./channel.ts";
import type { Carrier } from "./carrier.ts";
import type { Cuts } from "./cuts.ts";
import { FrameChannel } from "./frame-channel.ts";
import { greet, type SessionHello, type SessionOutcome } from "./hello.ts";
import { Link } from "./link.ts";

export interface LinkSettings {
  readonly clock: Clock;
  readonly random: Random;
  readonly loseAfterMs: number;
  readonly cuts?: Cuts | undefined;
}

/** Makes a carrier to the listener; the hello follows. Called again for every connection of the link. */
export type Connect = (timeoutMs: number) => Promise<Carrier>;

/** Dials a resumable channel. The first connection must succeed; later ones are the link's own affair. */
export async function dialLink(
  connect: Connect, identity: Identity, target: string, handler: ChannelHandler, options: DialOptions, settings: LinkSettings,
): Promise<Channel> {
  const { clock } = settings;
  const epoch = Number.parseInt(settings.random.hex(6), 16) || 1;
  const greetOver = async (
    session: SessionHello, timeoutMs: number, welcomed: (carrier: Carrier, peer: Peer, received: number) => void,
  ): Promise<void> => {
    const began = clock.now();
    await settings.cuts?.dialled(target, timeoutMs);
    const carrier = await connect(timeoutMs);
    const left = timeoutMs - (clock.now() - began);
    if (left <= 0) {
      carrier.destroy(undefined);
      throw new DeadlineError(`no connection to ${target} within ${timeoutMs} ms`);
    }
    await greet(carrier, identity, { details: options.details, timeoutMs: left, clock, session }, target, (greeting, said) => {
      const connection = greeting.release();
      welcomed(settings.cuts?.gate(connection, said.peer.nodeId) ?? connection, said.peer, said.received);
    });
  };

  let link!: Link;
  let channel!: FrameChannel;
  const reconnect = (session: SessionHello, timeoutMs: number): Promise<void> =>
    greetOver(session, timeoutMs, (carrier, _peer, received) => link.attach(carrier, received));
  await greetOver({ epoch, received: 0, resumes: false }, options.timeoutMs, (carrier, peer, received) => {
    link = new Link({ ...settings, epoch, target, reconnect, broken: () => handler.onBroken?.(channel) });
    channel = new FrameChannel(link, peer, handler);
    link.attach(carrier, received);
  });
  return channel;
}

interface Session {
  readonly link: Link;
  readonly channel: Channel;
}

/** The sessions of one listener. */
export class LinkSessions {
  readonly #sessions = new Map<string, Session>();
  readonly #settings: LinkSettings;
  readonly #admit: (peer: Peer) => Admission;

  constructor(settings: LinkSettings, admit: (peer: Peer) => Admission) {
    this.#settings = settings;
    this.#admit = admit;
  }

  /** For Host.session. */
  find(peer: Peer, session: SessionHello): SessionOutcome {
    const key = `${peer.processId} ${session.epoch}`;
    const known = this.#sessions.get(key);
    if (known !== undefined) {
      const { link } = known;
      const attach = (carrier: Carrier) => link.attach(this.#gated(carrier, peer), session.received);
      return { received: link.received, details: undefined, attach };
    }
    if (session.resumes) {
      const text = "the session is not known here any more: its other end ended it or was restarted";
      return { refused: failureOf(new ConnectionError(text)) };
    }
    return this.#begin(key, peer, session.epoch);
  }

  /** Says goodbye on every one. */
  close(reason: string): void {
    for (const { channel } of [...this.#sessions.values()]) channel.close(reason);
  }

  #gated(carrier: Carrier, peer: Peer): Carrier {
    return this.#settings.cuts?.gate(carrier, peer.nodeId) ?? carrier;
  }

  #begin(key: string, peer: Peer, epoch: number): SessionOutcome {
    const admission = this.#admit(peer);
    if ("refused" in admission) return admission;
    return {
      received: 0,
      details: admission.details,
      attach: (carrier) => {
        const target = `${peer.kind} ${peer.processId}`;
        const broken = (): void => admission.handler.onBroken?.(channel);
        const link = new Link({ ...this.#settings, epoch, target, broken, gone: () => this.#sessions.delete(key) });
        const channel: Channel = new FrameChannel(link, peer, admission.handler);
        this.#sessions.set(key, { link, channel });
        link.attach(this.#gated(carrier, peer), 0);
        admission.accepted?.(channel);
      },
    };
  }
}
