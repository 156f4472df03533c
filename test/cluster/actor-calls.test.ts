// How calls of an actor run: groups, out of order, within one another; options of methods; order through many copies of a handle.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDeadlockError, type ActorHandle, get, getActor, init, InvalidArgumentError, kill, PendingCallsLimitExceededError, ready,
  remote, shutdown, TaskTimeoutError,
} from "troupe";

class Desk {
  #log: string[] = [];
  #gates = new Map<string, () => void>();
  async hold(mark: string): Promise<string> {
    this.#log.push(mark);
    await new Promise<void>((resolve) => this.#gates.set(mark, resolve));
    return mark;
  }
  release(mark: string): void {
    this.#gates.get(mark)?.();
  }
  note(mark: unknown): string {
    this.#log.push(String(mark));
    return String(mark);
  }
  log(): string[] {
    return this.#log;
  }
  pair(): [number, number] {
    return [1, 2];
  }
  async never(): Promise<void> {
    await new Promise(() => {});
  }
}
const RemoteDesk = remote(Desk, { concurrencyGroups: { io: 2 }, methods: { release: { concurrencyGroup: "io" } } });
const slow = remote((value: string, ms: number) => new Promise<string>((resolve) => setTimeout(resolve, ms, value)));

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "128MiB" });
});
afterAll(() => shutdown());

describe("concurrency groups", () => {
  test("have slots of their own, by method or by call", async () => {
    const desk = RemoteDesk.remote();
    const held = desk.hold.remote("a");
    const waits = desk.note.remote("b");
    expect(await get(desk.log.options({ concurrencyGroup: "io" }).remote())).toEqual(["a"]);
    desk.release.remote("a");
    expect(await get([held, waits])).toEqual(["a", "b"]);
  });

  test("run as many calls at once as they say", async () => {
    const desk = RemoteDesk.remote();
    const io = desk.hold.options({ concurrencyGroup: "io" });
    const refs = ["a", "b", "c"].map((mark) => io.remote(mark));
    await get(desk.note.remote("start"));
    expect(await get(desk.log.remote())).toEqual(["a", "b", "start"]);
    desk.release.options({ concurrencyGroup: "io" }).remote("a");
    // Both slots are held: that call waits in its group. The default one is free.
    const note = remote(async (handle: ActorHandle<Desk>) => get(handle.note.remote("free")));
    expect(await get(note.remote(desk as never))).toBe("free");
    await kill(desk);
    await expect(get(refs[0])).rejects.toThrow(/killed/);
  });

  test("are checked at the door", async () => {
    const desk = RemoteDesk.remote();
    expect(() => desk.note.options({ concurrencyGroup: "cpu" }).remote("x")).toThrow(/no concurrency group "cpu".*io/);
    expect(() => remote(Desk, { methods: { note: { concurrencyGroup: "gone" } } })).toThrow(InvalidArgumentError);
    expect(() => remote(Desk, { concurrencyGroups: { io: 0 } })).toThrow(InvalidArgumentError);
    expect(() => remote(Desk, { methods: { nothing: {} } })).toThrow(/no method "nothing"/);
    await kill(desk);
  });
});

describe("options of methods", () => {
  test("hold for each call, for copies of the handle, and for handles found by name", async () => {
    const options = { methods: { pair: { numReturns: 2 }, never: { timeoutMs: 100 } }, name: "methods" };
    const desk = remote(Desk, options).remote();
    await ready(desk);
    const found = await getActor<Desk>("methods");
    for (const handle of [desk, found]) {
      const refs = handle.pair.remote() as unknown as Parameters<typeof get>[0][];
      expect(await get(refs as never)).toEqual([1, 2]);
    }
    const inTask = remote(async (handle: ActorHandle<Desk>) => ((handle.pair.remote() as unknown) as unknown[]).length);
    expect(await get(inTask.remote(desk as never))).toBe(2);
    await expect(get(desk.never.remote())).rejects.toThrow(TaskTimeoutError);
    await kill(desk);
  });

  test("retryExceptions of a call goes before that of the actor", async () => {
    class Flaky {
      #calls = 0;
      run(): number {
        this.#calls += 1;
        if (this.#calls % 3 !== 0) throw new RangeError(`call ${this.#calls}`);
        return this.#calls;
      }
    }
    const flaky = remote(Flaky, { maxTaskRetries: 2, retryExceptions: true }).remote();
    expect(await get(flaky.run.remote())).toBe(3);
    await expect(get(flaky.run.options({ retryExceptions: false }).remote())).rejects.toThrow("call 4");
    const elsewhere = remote(async (handle: ActorHandle<Flaky>) => get(handle.run.remote()));
    expect(await get(elsewhere.remote(flaky as never))).toBe(6);
  });

  test("maxPendingCalls goes with the handle", async () => {
    const desk = RemoteDesk.options({ maxPendingCalls: 2 }).remote();
    const flood = remote(async (handle: ActorHandle<Desk>) => {
      const refs = [handle.hold.remote("a"), handle.hold.remote("b")];
      try {
        handle.hold.remote("c");
        return "taken";
      } catch (error) {
        return [refs.length, (error as Error & { code: string }).code];
      }
    });
    expect(await get(flood.remote(desk as never))).toEqual([2, PendingCallsLimitExceededError.code]);
    await kill(desk);
  });
});

describe("order", () => {
  test("of one caller holds through many copies of a handle, and with arguments that come late", async () => {
    const desk = RemoteDesk.options({ name: "copies" }).remote();
    await ready(desk);
    const write = remote(async (copies: ActorHandle<Desk>[], caller: string) => {
      const later = slow.remote(`${caller}0`, 60);
      const refs = copies.map((copy, index) => (index === 0 ? copy.note.remote(later) : copy.note.remote(`${caller}${index}`)));
      refs.push((await getActor<Desk>("copies")).note.remote(`${caller}${copies.length}`));
      await get(refs);
    });
    const copies = Array.from({ length: 20 }, () => desk);
    await get([write.remote(copies as never, "a"), write.remote(copies as never, "b")]);
    const log = await get(desk.log.remote());
    for (const caller of ["a", "b"]) {
      const expected = Array.from({ length: 21 }, (_, index) => `${caller}${index}`);
      expect(log.filter((mark) => mark.startsWith(caller))).toEqual(expected);
    }
    await kill(desk);
  });

  test("is not kept by an actor that says so", async () => {
    const desk = RemoteDesk.options({ allowOutOfOrder: true }).remote();
    await ready(desk);
    const late = desk.note.remote(slow.remote("late", 150));
    expect(await get(desk.note.remote("early"))).toBe("early");
    expect(await get(late)).toBe("late");
    expect(await get(desk.log.remote())).toEqual(["early", "late"]);
  });
});

describe("a call within a call of the same actor", () => {
  class Node {
    #running = 0;
    async self(me: ActorHandle<Node>): Promise<number> {
      return (await get(me.answer.remote())) + 1;
    }
    /** Two of these call when both run. */
    async both(me: ActorHandle<Node>): Promise<number> {
      this.#running += 1;
      while (this.#running < 2) await new Promise((resolve) => setTimeout(resolve, 1));
      return get(me.answer.remote());
    }
    async through(other: ActorHandle<Node>, me: ActorHandle<Node>): Promise<number> {
      return (await get(other.ask.remote(me))) + 1;
    }
    async ask(other: ActorHandle<Node>): Promise<number> {
      return (await get(other.answer.remote())) + 1;
    }
    /** Tells the caller something, and does not wait for it. */
    async notify(other: ActorHandle<Node>): Promise<string> {
      const ref = other.answer.remote();
      return ref.id;
    }
    async throughTask(task: (handle: ActorHandle<Node>) => Promise<number>, me: ActorHandle<Node>): Promise<number> {
      return get(remote(task).remote(me as never));
    }
    async notified(other: ActorHandle<Node>, me: ActorHandle<Node>): Promise<boolean> {
      return (await get(other.notify.remote(me))) !== "";
    }
    answer(): number {
      return 40;
    }
  }
  const RemoteNode = remote(Node);

  test("fails when it is waited for: by itself, through another actor, through a task", async () => {
    const [one, two] = [RemoteNode.remote(), RemoteNode.remote()];
    await expect(get(one.self.remote(one as never))).rejects.toThrow(ActorDeadlockError);
    await expect(get(one.through.remote(two as never, one as never))).rejects.toThrow(ActorDeadlockError);
    const task = async (handle: ActorHandle<Node>) => get(handle.answer.remote());
    await expect(get(one.throughTask.remote(task as never, one as never))).rejects.toThrow(/never run.*reentrant/);
    expect(await get(one.answer.remote())).toBe(40);
  });

  test("runs when nobody waits for it, or another slot is free", async () => {
    const [one, two] = [RemoteNode.remote(), RemoteNode.remote()];
    expect(await get(one.notified.remote(two as never, one as never))).toBe(true);
    const wide = RemoteNode.options({ maxConcurrency: 2 }).remote();
    expect(await get(wide.self.remote(wide as never))).toBe(41);
    await expect(get([wide.both.remote(wide as never), wide.both.remote(wide as never)])).rejects.toThrow(ActorDeadlockError);
  });

  test("runs beside it in a reentrant actor", async () => {
    const [one, two] = [RemoteNode.options({ reentrant: true }).remote(), RemoteNode.remote()];
    expect(await get(one.self.remote(one as never))).toBe(41);
    expect(await get(one.through.remote(two as never, one as never))).toBe(42);
  });
});
