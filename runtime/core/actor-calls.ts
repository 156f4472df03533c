// The caller's side of one actor: which calls go out, in which order, and what a lost connection means for them.
//
// Pure. Calls of one caller (a task attempt, or a driver's main program) go out in submission order, each once its arguments are
// known; other callers do not wait for them. Orders count from 1 a (stream, incarnation); a caller's stream ends some time
// after its last call has ended, and one that calls again then gets a new stream: the receiver must never see an order of a
// stream twice. When the actor is lost, calls in flight either go out again, in order and before newer ones, while they have
// retries, or fail: whether they ran nobody can tell. What is called while it restarts waits if it has retries, or is one, and
// fails if not.

export interface ActorCallLife {
  readonly caller: number;
  /** Arguments are known. */
  ready: boolean;
  /** Names the stream of its caller at the receiver; 0 while not sent. */
  stream: number;
  /** Place in the stream of its caller to the current incarnation; 0 while not sent. */
  order: number;
  attempt: number;
  /** Times it may be sent again after a loss; -1 is endless. */
  retriesLeft: number;
  /** It was made when the actor was lost, has not been sent, and may not be tried again. */
  afterLoss: boolean;
}

/** unplaced: created, no address yet. alive: calls flow. lost: the connection broke and nobody said why yet. */
export type ActorClientState = "unplaced" | "alive" | "lost" | "restarting" | "dead";

/** Streams that are kept for callers which may call again. */
export const IDLE_STREAMS_KEPT = 256;

interface CallerStream<C> {
  readonly id: number;
  readonly waiting: C[];
  readonly inFlight: Set<C>;
  nextOrder: number;
}

export class ActorCalls<C extends ActorCallLife> {
  state: ActorClientState = "unplaced";
  /** Calls go out as soon as their arguments are known. */
  outOfOrder = false;
  incarnation = 0;
  #wasAlive = false;
  #size = 0;
  #nextStream = 1;
  readonly #callers = new Map<number, CallerStream<C>>();
  /** Callers without calls, oldest first. */
  readonly #idle = new Set<number>();

  /** Calls submitted and not ended. */
  get size(): number {
    return this.#size;
  }

  /** Whether a call that is made now has failed already. Who never reached the actor waits for it as for a new one. */
  refuses(call: C): boolean {
    return this.state === "restarting" && this.#wasAlive && isOnlyTry(call);
  }

  submit(call: C): void {
    call.afterLoss = this.state === "lost" && isOnlyTry(call);
    this.#stream(call.caller).waiting.push(call);
    this.#idle.delete(call.caller);
    this.#size += 1;
  }

  /** Calls of one caller to send now, in order; each is recorded as in flight. */
  sendable(caller: number): C[] {
    if (this.state !== "alive") return [];
    const stream = this.#stream(caller);
    const calls: C[] = [];
    if (this.outOfOrder) {
      const late = stream.waiting.filter((call) => !call.ready);
      for (const call of stream.waiting) if (call.ready) calls.push(call);
      for (const call of calls) fly(stream, call);
      stream.waiting.splice(0, stream.waiting.length, ...late);
      return calls;
    }
    let count = 0;
    while (count < stream.waiting.length && stream.waiting[count].ready) {
      const call = stream.waiting[count];
      count += 1;
      fly(stream, call);
      calls.push(call);
    }
    if (count > 0) stream.waiting.splice(0, count);
    return calls;
  }

  /** The fast way for the usual case: nothing of this caller waits, so the call goes out at once. Else it is submitted. */
  sendNow(call: C): boolean {
    const stream = this.#stream(call.caller);
    if (this.state !== "alive" || !call.ready || (stream.waiting.length > 0 && !this.outOfOrder)) {
      this.submit(call);
      return false;
    }
    fly(stream, call);
    this.#idle.delete(call.caller);
    this.#size += 1;
    return true;
  }

  /** The call ended; false for a repeat. */
  ended(call: C): boolean {
    const stream = this.#callers.get(call.caller);
    if (stream === undefined) return false;
    if (!stream.inFlight.delete(call)) {
      const index = stream.waiting.indexOf(call);
      if (index < 0) return false;
      stream.waiting.splice(index, 1);
    }
    this.#size -= 1;
    if (stream.waiting.length === 0 && stream.inFlight.size === 0) this.#idled(call.caller);
    return true;
  }

  /**
   * The actor answers under this incarnation: the callers to pump. Nobody may have said that it restarted in between: then
   * calls of its earlier life fail, or go out again, as with `restarting`.
   */
  alive(incarnation: number): { readonly callers: readonly number[]; readonly failed: readonly C[] } {
    if (this.state === "dead" || incarnation < this.incarnation) return { callers: [], failed: [] };
    const failed = incarnation > this.incarnation ? this.#startOver() : [];
    this.incarnation = incarnation;
    this.state = "alive";
    this.#wasAlive = true;
    return { callers: [...this.#callers.keys()], failed };
  }

  /** Sent and unanswered calls, oldest first: sent again when the connection to the same incarnation is back. */
  unanswered(): C[] {
    return [...this.#callers.values()].flatMap((stream) => [...stream.inFlight]);
  }

  /** The connection broke: nothing is sent until the verdict. */
  lost(): void {
    if (this.state === "alive") this.state = "lost";
  }

  /**
   * The actor is restarting as this incarnation: calls in flight that have retries wait to be sent again, first and in order; the
   * others are returned and have failed, and so have those without retries that were made since it was lost. Calls from before
   * that were never sent wait for the new incarnation. Undefined for late news.
   */
  restarting(incarnation: number): C[] | undefined {
    if (this.state === "dead" || incarnation < this.incarnation) return undefined;
    if (incarnation === this.incarnation && (this.state === "alive" || this.state === "lost")) return undefined;
    const failed = incarnation > this.incarnation ? this.#startOver() : [];
    failed.push(...this.#madeMeanwhile());
    this.incarnation = incarnation;
    this.state = "restarting";
    return failed;
  }

  #madeMeanwhile(): C[] {
    const failed: C[] = [];
    for (const [caller, stream] of [...this.#callers]) {
      const stays = stream.waiting.filter((call) => !call.afterLoss);
      if (stays.length === stream.waiting.length) continue;
      for (const call of stream.waiting) if (call.afterLoss) failed.push(call);
      stream.waiting.splice(0, stream.waiting.length, ...stays);
      if (stays.length === 0 && stream.inFlight.size === 0) this.#idled(caller);
    }
    this.#size -= failed.length;
    return failed;
  }

  #startOver(): C[] {
    const failed: C[] = [];
    for (const [caller, stream] of [...this.#callers]) {
      const again: C[] = [];
      for (const call of stream.inFlight) {
        if (call.retriesLeft === 0) {
          failed.push(call);
          continue;
        }
        if (call.retriesLeft > 0) call.retriesLeft -= 1;
        call.attempt += 1;
        call.order = 0;
        again.push(call);
      }
      stream.inFlight.clear();
      stream.waiting.unshift(...again);
      stream.nextOrder = 1;
      if (stream.waiting.length === 0) this.#idled(caller);
    }
    this.#size -= failed.length;
    return failed;
  }

  /** Nobody can say where the actor is: calls that were never sent have failed and are returned; others may yet be answered. */
  unsent(): C[] {
    const failed: C[] = [];
    for (const [caller, stream] of [...this.#callers]) {
      failed.push(...stream.waiting.splice(0));
      if (stream.inFlight.size === 0) this.#idled(caller);
    }
    this.#size -= failed.length;
    return failed;
  }

  /** The actor is dead: every call, sent or not, is returned and has failed. */
  died(): C[] {
    this.state = "dead";
    const failed: C[] = [];
    for (const stream of this.#callers.values()) failed.push(...stream.inFlight, ...stream.waiting);
    this.#callers.clear();
    this.#idle.clear();
    this.#size = 0;
    return failed;
  }

  /** Highest order of a caller below which every call has ended: the receiver may forget those results. */
  acknowledged(caller: number): number {
    const stream = this.#stream(caller);
    let lowest = stream.nextOrder;
    for (const call of stream.inFlight) {
      // Insertion order is send order: the first is the oldest.
      lowest = call.order;
      break;
    }
    return lowest - 1;
  }

  #stream(caller: number): CallerStream<C> {
    let stream = this.#callers.get(caller);
    if (stream === undefined) {
      stream = { id: this.#nextStream++, waiting: [], inFlight: new Set(), nextOrder: 1 };
      this.#callers.set(caller, stream);
      this.#idled(caller);
    }
    return stream;
  }

  #idled(caller: number): void {
    this.#idle.add(caller);
    if (this.#idle.size <= IDLE_STREAMS_KEPT) return;
    const oldest = this.#idle.values().next().value as number;
    this.#idle.delete(oldest);
    this.#callers.delete(oldest);
  }
}

/** One that is tried again, also to make again what was lost, has used up a retry to wait for the actor. */
function isOnlyTry({ attempt, retriesLeft }: ActorCallLife): boolean {
  return attempt === 0 && retriesLeft === 0;
}

function fly<C extends ActorCallLife>(stream: CallerStream<C>, call: C): void {
  call.stream = stream.id;
  call.afterLoss = false;
  call.order = stream.nextOrder++;
  stream.inFlight.add(call);
}
