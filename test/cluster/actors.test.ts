// Actors through the public API on a private cluster of real processes.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ActorDiedError,
  actorState,
  ActorUnavailableError,
  get,
  GetTimeoutError,
  getActor,
  getRuntimeContext,
  init,
  InvalidArgumentError,
  kill,
  list,
  NameTakenError,
  NotFoundError,
  ObjectFreedError,
  PendingCallsLimitExceededError,
  ready,
  remote,
  TaskError,
  shutdown,
  type ActorHandle,
} from "troupe";
import { until } from "../until.ts";

class Counter {
  private n: number;
  log: string[] = [];
  constructor(n = 0) {
    this.n = n;
  }
  inc(by = 1): number {
    return (this.n += by);
  }
  async later(ms: number, mark: string): Promise<string[]> {
    this.log.push(`start ${mark}`);
    await new Promise((resolve) => setTimeout(resolve, ms));
    this.log.push(`end ${mark}`);
    return this.log;
  }
  fail(): never {
    throw new RangeError("no");
  }
  die(): never {
    process.exit(3);
  }
  pid(): number {
    return process.pid;
  }
  context() {
    const { actorId, restarted } = getRuntimeContext();
    return { actorId, restarted };
  }
}
const CounterActor = remote(Counter);

beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "256MiB" });
});
afterAll(() => shutdown());

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe("calls", () => {
  test("keep state, and run in the order of their caller", async () => {
    const counter = CounterActor.remote(5);
    expect(await get(counter.inc.remote(2))).toBe(7);
    const refs = Array.from({ length: 500 }, () => counter.inc.remote());
    expect(await get(refs)).toEqual(Array.from({ length: 500 }, (_, index) => 8 + index));
  });

  test("stay in order when an argument resolves late", async () => {
    const slow = remote(() => new Promise<number>((resolve) => setTimeout(() => resolve(100), 150)));
    const counter = CounterActor.remote(0);
    const first = counter.inc.remote(slow.remote());
    const second = counter.inc.remote(1);
    expect(await get([first, second])).toEqual([100, 101]);
  });

  test("run one at a time unless maxConcurrency says more", async () => {
    const one = CounterActor.remote();
    await get([one.later.remote(30, "a"), one.later.remote(1, "b")]);
    expect(await get(one.later.remote(0, "c"))).toEqual(["start a", "end a", "start b", "end b", "start c", "end c"]);
    const two = CounterActor.options({ maxConcurrency: 2 }).remote();
    await get([two.later.remote(50, "a"), two.later.remote(1, "b")]);
    expect((await get(two.later.remote(0, "c"))).slice(0, 4)).toEqual(["start a", "start b", "end b", "end a"]);
  });

  test("throw what the method threw, and the actor lives on", async () => {
    const counter = CounterActor.remote(1);
    await expect(get(counter.fail.remote())).rejects.toThrow(RangeError);
    expect(await get(counter.inc.remote())).toBe(2);
    expect(() => (counter as unknown as { nope: { remote(): void } }).nope.remote()).toThrow(/no method "nope"/);
  });

  test("handles can be passed on", async () => {
    const counter = CounterActor.remote(10);
    const use = remote(async (c: ActorHandle<Counter>) => get(c.inc.remote(5)));
    expect(await get(use.remote(counter as never))).toBe(15);
    expect(await get(counter.inc.remote())).toBe(16);
    const { actorId } = await get(counter.context.remote());
    expect((await actorState(counter)).id).toBe(actorId);
  });
});

describe("life", () => {
  test("a constructor that throws is the cause of every call's failure", async () => {
    class BadStart extends TypeError {
      constructor(message: string, readonly part: string) {
        super(message);
      }
    }
    class Broken {
      constructor() {
        throw new BadStart("bad start", "wheel");
      }
      hello() {
        return 1;
      }
    }
    const broken = remote(Broken).remote();
    await expect(ready(broken)).rejects.toThrow(/bad start/);
    const never = CounterActor.options({ resources: { nowhere: 1 }, throwOnInfeasible: false }).remote();
    await expect(ready(never, { timeoutMs: 20 })).rejects.toThrow(GetTimeoutError);
    await expect(ready(never, { signal: AbortSignal.abort(new Error("enough")) })).rejects.toThrow("enough");
    await kill(never);
    await expect(get(broken.hello.remote())).rejects.toThrow(ActorDiedError);
    const causeOf = (failed: Promise<unknown>) => failed.then(() => undefined, (error: Error) => error.cause as BadStart);
    for (const cause of [await causeOf(ready(broken)), await causeOf(get(broken.hello.remote()))]) {
      expect(cause).toBeInstanceOf(BadStart);
      expect(cause).toBeInstanceOf(TaskError);
      expect(cause).toMatchObject({ part: "wheel", taskName: "Broken.constructor" });
    }
    const failing = remote(() => {
      throw new BadStart("no argument", "seat");
    });
    const unmade = CounterActor.remote(failing.remote() as never);
    expect(await causeOf(get(unmade.inc.remote()))).toBeInstanceOf(BadStart);
  });

  test("kill fails pending and later calls and ends the process", async () => {
    const counter = CounterActor.remote();
    const pid = await get(counter.pid.remote());
    const pending = counter.later.remote(10_000, "x");
    await kill(counter);
    await expect(get(pending)).rejects.toThrow(ActorDiedError);
    await expect(get(counter.inc.remote())).rejects.toThrow(/killed/);
    await until(() => !alive(pid));
  });

  test("a crash without restarts is a death with its real cause", async () => {
    const counter = CounterActor.remote();
    await expect(get(counter.die.remote())).rejects.toMatchObject({ code: "ACTOR_DIED", exitCode: 3 });
    await expect(get(counter.inc.remote())).rejects.toThrow(/exited with code 3/);
  });

  test("a crash with restarts makes calls in flight unavailable, later ones run in a new life", async () => {
    const counter = CounterActor.options({ maxRestarts: 1 }).remote(5);
    expect(await get(counter.inc.remote())).toBe(6);
    await expect(get(counter.die.remote())).rejects.toThrow(ActorUnavailableError);
    await ready(counter);
    expect(await get(counter.inc.remote())).toBe(6);
    expect(await get(counter.context.remote())).toMatchObject({ restarted: true });
    await expect(get(counter.die.remote())).rejects.toThrow(ActorDiedError);
  });

  test("a call that is made while it restarts is unavailable too, or waits if it has retries", async () => {
    class Slow {
      constructor(ms: number) {
        const until = Date.now() + ms;
        while (getRuntimeContext().restarted && Date.now() < until);
      }
      die(): void {
        process.exit(1);
      }
      restarted(): boolean {
        return getRuntimeContext().restarted;
      }
    }
    const slow = remote(Slow, { maxRestarts: 1, name: "slow" }).remote(1500);
    await ready(slow);
    const patient = slow.restarted.options({ maxTaskRetries: 1 });
    await expect(get(slow.die.remote())).rejects.toThrow(/was in flight and may or may not have run/);
    const made = slow.restarted.remote();
    const other = await getActor<Slow>("slow");
    await expect(get(made)).rejects.toThrow(ActorUnavailableError);
    await expect(get(other.restarted.remote())).rejects.toThrow(/is restarting: .*was made meanwhile and did not run/);
    expect(await get(patient.remote())).toBe(true);
    expect(await get(slow.restarted.remote())).toBe(true);
  });

  test("maxTaskRetries sends calls again", async () => {
    class Once {
      attempts(): number {
        const { attempt, restarted } = getRuntimeContext();
        if (!restarted) process.kill(process.pid, "SIGKILL");
        return attempt;
      }
    }
    const actor = remote(Once, { maxRestarts: 1, maxTaskRetries: 1 }).remote();
    expect(await get(actor.attempts.remote())).toBe(1);
  });

  test("dropping the last handle ends the actor", async () => {
    const counter = CounterActor.remote();
    const pid = await get(counter.pid.remote());
    counter[Symbol.dispose]();
    expect(() => counter.inc.remote()).toThrow(ObjectFreedError);
    await until(() => !alive(pid));
  });

  test("a handle that was found by name hears of the end, also when nothing is counted here any more", async () => {
    const named = CounterActor.options({ name: "weak" }).remote();
    const found = await getActor<Counter>("weak");
    expect(await get(found.inc.remote())).toBe(1);
    const { id } = await actorState(named);
    named[Symbol.dispose]();
    await until(async () => (await list.actors({ filters: { id } }))[0]?.state === "DEAD");
    await expect(get(found.inc.remote())).rejects.toThrow(ActorDiedError);
    await expect(ready(found)).rejects.toThrow(ActorDiedError);
    // One that goes on, since it is detached.
    const kept = CounterActor.options({ name: "kept", lifetime: "detached" }).remote();
    expect(await get(kept.inc.remote())).toBe(1);
    const again = await getActor<Counter>("kept");
    kept[Symbol.dispose]();
    expect(await get(again.inc.remote())).toBe(2);
    await kill(again);
    await expect(get(again.inc.remote())).rejects.toThrow(ActorDiedError);
  });

  test("a name is unique while its actor lives", async () => {
    const first = CounterActor.options({ name: "unique" }).remote(1);
    await ready(first);
    const found = await getActor<Counter>("unique");
    expect(await get(found.inc.remote())).toBe(2);
    const second = CounterActor.options({ name: "unique" }).remote();
    await expect(get(second.inc.remote())).rejects.toThrow(NameTakenError);
    const same = CounterActor.options({ name: "unique", getIfExists: true }).remote();
    expect(await get(same.inc.remote())).toBe(3);
    await kill(first);
    await until(() => getActor("unique").then(() => false, (error) => error instanceof NotFoundError));
    await ready(CounterActor.options({ name: "unique" }).remote());
  });

  test("limits and options are checked at the door", () => {
    expect(() => CounterActor.options({ getIfExists: true })).toThrow(/needs a name/);
    expect(() => CounterActor.options({ maxConcurrency: 0 })).toThrow(InvalidArgumentError);
    const counter = CounterActor.options({ maxPendingCalls: 2 }).remote();
    counter.later.remote(500, "a");
    counter.later.remote(1, "b");
    expect(() => counter.inc.remote()).toThrow(PendingCallsLimitExceededError);
  });
});
