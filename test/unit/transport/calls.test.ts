// Calls: every question settles exactly once, every call of an origin runs once, a handler may be asked twice.

import { beforeEach, describe, expect, it } from "vitest";
import { ConnectionError, DeadlineError, NotFoundError, TaskCancelledError } from "../../../runtime/errors.ts";
import {
  type Answer, Answer as AnswerCodec, type Call, Call as CallCodec,
} from "../../../proto/generated/contract.ts";
import {
  type AnswerBody, Callee, type CallHandlers, Caller, type Channel, fromBytes, type MessageName, type Peer, type SendOf, toBytes,
} from "../../../runtime/transport/index.ts";
import { HandClock } from "../../hand-clock.ts";

/** A channel that keeps what is sent, decoded as the other side would see it. */
class Wire implements Channel {
  readonly peer: Peer;
  open = true;
  readonly bufferedBytes = 0;
  readonly calls: Call[] = [];
  readonly answers: Answer[] = [];
  constructor(processId: string) {
    this.peer = { kind: "agent", processId, nodeId: "n", clusterId: "c", pid: 42, release: "", details: new Uint8Array(0) };
  }
  send<N extends MessageName>(name: N, body: SendOf<N>): void {
    if (name === "call") this.calls.push(fromBytes(CallCodec, toBytes(CallCodec, body as SendOf<"call">)));
    if (name === "answer") this.answers.push(fromBytes(AnswerCodec, toBytes(AnswerCodec, body as SendOf<"answer">)));
  }
  flush(): void {}
  hold(): void {}
  close(): void {}
}

const LIMIT = { timeoutMs: 1_000 };
const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.then((value) => value, (error: unknown) => error);

describe("a caller", () => {
  let clock: HandClock;
  let caller: Caller;
  let wire: Wire;
  beforeEach(() => {
    clock = new HandClock();
    caller = new Caller(clock);
    wire = new Wire("agent-1");
  });

  const answer = (id: number, body: AnswerBody | { failure: { code: string; text: string } }): void =>
    caller.answered(fromBytes(AnswerCodec, toBytes(AnswerCodec, { id, ...body })));

  it("gets the answer of its own question", async () => {
    const one = caller.call(wire, "grantSlab", { sizeClass: 1 }, "slab", LIMIT);
    const two = caller.call(wire, "grantSlab", { sizeClass: 2 }, "slab", LIMIT);
    answer(wire.calls[1].id, { slab: { slab: 22 } });
    answer(wire.calls[0].id, { slab: { slab: 11 } });
    expect([(await one).slab, (await two).slab]).toEqual([11, 22]);
    expect(caller.pendingCount).toBe(0);
    expect(clock.timers).toEqual([]);
  });

  it("gets the other side's failure as the typed error", async () => {
    const asked = caller.call(wire, "resolveActor", { name: "x" }, "actor", LIMIT);
    answer(wire.calls[0].id, { failure: { code: "NOT_FOUND", text: "no actor x" } });
    expect(await outcome(asked)).toBeInstanceOf(NotFoundError);
  });

  it("takes an answer of another kind for a broken contract", async () => {
    const asked = caller.call(wire, "resolveActor", { name: "x" }, "actor", LIMIT);
    answer(wire.calls[0].id, { done: {} });
    expect(String(await outcome(asked))).toContain("answered resolveActor with done instead of actor");
  });

  it("waits no longer than its bound, and says who did not answer what", async () => {
    const asked = caller.call(wire, "killActor", { actor: "a" }, "done", LIMIT);
    clock.advance(1_000);
    const error = await outcome(asked);
    expect(error).toBeInstanceOf(DeadlineError);
    expect(String(error)).toContain("agent agent-1 (pid 42) did not answer killActor within 1000 ms");
    answer(wire.calls[0].id, { done: {} });
    expect(caller.pendingCount).toBe(0);
  });

  it("fails what is pending with what broke the channel, and only that", async () => {
    const other = new Wire("agent-2");
    const lost = caller.call(wire, "killActor", { actor: "a" }, "done", LIMIT);
    const kept = caller.call(other, "killActor", { actor: "a" }, "done", LIMIT);
    caller.closed(wire, { code: "CONNECTION", text: "the wire was cut" });
    const error = (await outcome(lost)) as ConnectionError;
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error.message).toContain("the wire was cut");
    answer(other.calls[0].id, { done: {} });
    await kept;
  });

  it("asks nothing on a closed channel or with a signal that has fired", async () => {
    wire.open = false;
    expect(await outcome(caller.call(wire, "killActor", {}, "done", LIMIT))).toBeInstanceOf(ConnectionError);
    wire.open = true;
    const given = caller.call(wire, "killActor", {}, "done", { ...LIMIT, signal: AbortSignal.abort() });
    expect(await outcome(given)).toBeInstanceOf(TaskCancelledError);
    expect(wire.calls).toEqual([]);
  });

  it("gives up when the signal fires", async () => {
    const control = new AbortController();
    const asked = caller.call(wire, "killActor", {}, "done", { ...LIMIT, signal: control.signal });
    control.abort(new Error("user"));
    expect(await outcome(asked)).toBeInstanceOf(TaskCancelledError);
    expect([caller.pendingCount, clock.timers.length]).toEqual([0, 0]);
  });

  it("asks again on the next channel: same id, next attempt, same deadline", async () => {
    const asked = caller.call(wire, "killActor", { actor: "a" }, "done", LIMIT);
    const next = new Wire("agent-1");
    clock.advance(600);
    caller.resend(wire, next);
    expect(next.calls[0]).toMatchObject({ id: wire.calls[0].id, attempt: 2, killActor: { actor: "a" } });
    caller.closed(wire, { code: "CONNECTION", text: "old" });
    expect(caller.pendingCount).toBe(1);
    clock.advance(400);
    expect(await outcome(asked)).toBeInstanceOf(DeadlineError);
  });
});

describe("a callee", () => {
  let wire: Wire;
  let runs: number;
  let release!: (body: AnswerBody) => void;
  let fail!: (error: unknown) => void;

  const calleeOf = (handlers: CallHandlers = {}): Callee => new Callee({
    grantSlab: () => ({ slab: { slab: ++runs } }),
    killActor: () => { throw new NotFoundError(`run ${++runs}`); },
    resolveActor: () => (runs++, new Promise<AnswerBody>((resolve, reject) => ([release, fail] = [resolve, reject]))),
    readChunk: () => ({ chunk: { bytes: Buffer.alloc(10, ++runs) } }),
    ...handlers,
  });
  const call = (body: SendOf<"call">): Call => fromBytes(CallCodec, toBytes(CallCodec, body));
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  beforeEach(() => {
    wire = new Wire("driver-1");
    runs = 0;
  });

  it("called twice runs once and gives the same answer", () => {
    const callee = calleeOf();
    callee.called(call({ id: 1, grantSlab: {} }), wire);
    callee.called(call({ id: 1, attempt: 2, grantSlab: {} }), wire);
    expect(runs).toBe(1);
    expect(wire.answers.map((answer) => answer.slab?.slab)).toEqual([1, 1]);
  });

  it("remembers failures too, and sends them typed", () => {
    const callee = calleeOf();
    callee.called(call({ id: 1, killActor: {} }), wire);
    callee.called(call({ id: 1, killActor: {} }), wire);
    expect(wire.answers.map((answer) => answer.failure)).toMatchObject(
      [{ code: "NOT_FOUND", text: "run 1" }, { code: "NOT_FOUND", text: "run 1" }]);
  });

  it("called again while it runs waits for the same result and answers where it was asked last, once", async () => {
    const callee = calleeOf();
    const next = new Wire("driver-1");
    callee.called(call({ id: 1, resolveActor: {} }), wire);
    callee.called(call({ id: 1, attempt: 2, resolveActor: {} }), next);
    expect([runs, callee.runningCount]).toEqual([1, 1]);
    release({ actor: { actor: "a" } });
    await settle();
    expect(wire.answers).toEqual([]);
    expect(next.answers.map((answer) => answer.actor?.actor)).toEqual(["a"]);
    expect(callee.runningCount).toBe(0);
  });

  it("a rejected promise is a typed failure", async () => {
    calleeOf().called(call({ id: 1, resolveActor: {} }), wire);
    fail(new TypeError("broken"));
    await settle();
    expect(wire.answers[0].failure).toMatchObject({ code: "TROUPE", text: "TypeError: broken" });
  });

  it("the same id from another origin is another call", () => {
    const callee = calleeOf();
    callee.called(call({ id: 1, grantSlab: {} }), wire);
    callee.called(call({ id: 1, grantSlab: {} }), new Wire("driver-2"));
    callee.called(call({ id: 1, origin: "driver-3", grantSlab: {} }), wire);
    expect(runs).toBe(3);
  });

  it("remembers a bounded number of answers, forgets those of the dead, and never keeps chunks", () => {
    const callee = calleeOf();
    for (let id = 1; id <= 4_097; id++) callee.called(call({ id, grantSlab: {} }), wire);
    callee.called(call({ id: 4_097, grantSlab: {} }), wire);
    expect(runs).toBe(4_097);
    callee.called(call({ id: 1, grantSlab: {} }), wire);
    expect(runs).toBe(4_098);
    callee.forget("driver-1");
    callee.called(call({ id: 4_097, grantSlab: {} }), wire);
    expect(runs).toBe(4_099);
    callee.called(call({ id: 9_000, readChunk: {} }), wire);
    callee.called(call({ id: 9_000, readChunk: {} }), wire);
    expect(runs).toBe(4_101);
  });

  it("says what it does not answer", () => {
    calleeOf().called(call({ id: 1, listState: {} }), wire);
    calleeOf().called(call({ id: 2 }), wire);
    expect(wire.answers.map((answer) => answer.failure?.text))
      .toEqual(["listState is not answered here", "an unknown call is not answered here"]);
  });
});
