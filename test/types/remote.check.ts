// Types of the public API, checked by the compiler (types.test.ts runs it): nothing here is executed.

import { expectTypeOf } from "vitest";
import {
  free, get, getActor, getObject, init, put, ready, remote, run, scope, wait, type ActorHandle, type Cluster, type ObjectRef,
  type ObjectRefStream, type Scope,
} from "troupe";

// -- functions ---------------------------------------------------------------------------------------------------------

const add = remote((a: number, b: number) => a + b);
expectTypeOf(add.remote(1, 2)).toEqualTypeOf<ObjectRef<number>>();
expectTypeOf(add.remote(add.remote(1, 2), 3)).toEqualTypeOf<ObjectRef<number>>();
expectTypeOf(add.local(1, 2)).toEqualTypeOf<number>();
expectTypeOf(run(add, 1, 2)).toEqualTypeOf<Promise<number>>();
// @ts-expect-error an argument of the wrong type
add.remote("1", 2);
// @ts-expect-error a ref to the wrong type
add.remote(remote(() => "x").remote(), 2);
// @ts-expect-error an argument is missing
add.remote(1);
// @ts-expect-error an unknown option
add.options({ retries: 1 });
// @ts-expect-error an option of the wrong type
remote(() => 1, { numCpus: "2" });

const later = remote(async (n: number) => [n]);
expectTypeOf(later.remote(1)).toEqualTypeOf<ObjectRef<number[]>>();
expectTypeOf(get(later.remote(1))).toEqualTypeOf<Promise<number[]>>();

const optional = remote((a: number, b?: string, ...rest: boolean[]) => (b ?? "") + a + rest.length);
expectTypeOf(optional.remote(1)).toEqualTypeOf<ObjectRef<string>>();
expectTypeOf(optional.remote(1, "b", true)).toEqualTypeOf<ObjectRef<string>>();

const pair = remote((x: number): [number, string] => [x, ""]).options({ numReturns: 2 });
const [first, second] = pair.remote(1);
expectTypeOf(first).toEqualTypeOf<ObjectRef<number>>();
expectTypeOf(second).toEqualTypeOf<ObjectRef<string>>();

// -- lifetimes ---------------------------------------------------------------------------------------------------------

expectTypeOf(later.remote(1).detach({ name: "n", ttlMs: 1000, replicas: 2 })).toEqualTypeOf<Promise<void>>();
expectTypeOf(getObject<number>("n")).toEqualTypeOf<Promise<ObjectRef<number>>>();
expectTypeOf(free([later.remote(1)])).toEqualTypeOf<Promise<void>>();
const run42 = await scope("run-42");
expectTypeOf(run42).toEqualTypeOf<Scope>();
expectTypeOf(put("x", { scope: run42 })).toEqualTypeOf<Promise<ObjectRef<string>>>();
expectTypeOf(later.options({ scope: run42 }).remote(1)).toEqualTypeOf<ObjectRef<number[]>>();
expectTypeOf(run42.free()).toEqualTypeOf<Promise<void>>();
// @ts-expect-error a scope is opened by its name first
put("x", { scope: "run-42" });
// @ts-expect-error a value is not a ref
free(5);

// -- generators --------------------------------------------------------------------------------------------------------

const count = remote(function* (to: number) {
  for (let n = 0; n < to; n += 1) yield n;
});
expectTypeOf(count.remote(10)).toEqualTypeOf<ObjectRefStream<number>>();
expectTypeOf(count.options({ streamBackpressure: 2 }).remote(10)).toEqualTypeOf<ObjectRefStream<number>>();
expectTypeOf(count.local(1)).toEqualTypeOf<Generator<number, void, unknown>>();
const words = remote(async function* (): AsyncGenerator<string, number> {
  yield "a";
  return 1;
});
const stream = words.remote();
expectTypeOf(stream).toEqualTypeOf<ObjectRefStream<string>>();
for await (const one of stream) expectTypeOf(one).toEqualTypeOf<ObjectRef<string>>();
expectTypeOf(stream.next()).resolves.toEqualTypeOf<IteratorResult<ObjectRef<string>, undefined>>();
expectTypeOf<Awaited<typeof stream>>().toEqualTypeOf<typeof stream>();
expectTypeOf(remote((given: ObjectRefStream<string>) => given.id).remote(stream)).toEqualTypeOf<ObjectRef<string>>();
// A function that never returns, or returns anything, has a ref as before.
const fails = remote(() => {
  throw new Error("");
});
expectTypeOf(fails.remote()).toEqualTypeOf<ObjectRef<never>>();
// @ts-expect-error a stream is no ref
get(stream);
// @ts-expect-error an argument of the wrong type
count.remote("1");

// -- refs --------------------------------------------------------------------------------------------------------------

const ref = await put({ a: 1 });
expectTypeOf(ref).toEqualTypeOf<ObjectRef<{ a: number }>>();
expectTypeOf(ref.value()).toEqualTypeOf<Promise<{ a: number }>>();
expectTypeOf(get([ref, add.remote(1, 2)])).resolves.toEqualTypeOf<[{ a: number }, number]>();
expectTypeOf(get({ one: ref, two: add.remote(1, 2) })).resolves.toEqualTypeOf<{ one: { a: number }; two: number }>();
expectTypeOf(wait([ref])).resolves.toEqualTypeOf<{ ready: ObjectRef<{ a: number }>[]; pending: ObjectRef<{ a: number }>[] }>();
// A ref is not awaitable: awaiting it gives the ref itself.
expectTypeOf<Awaited<typeof ref>>().toEqualTypeOf<typeof ref>();
// @ts-expect-error a value is no ref
get(5);
// @ts-expect-error no such option
get(ref, { timeout: 5 });
// What has no type stays so.
const unknownRef = JSON.parse("0");
expectTypeOf(get(unknownRef)).resolves.toBeAny();
expectTypeOf(get([unknownRef, ref])).resolves.toEqualTypeOf<[typeof unknownRef, { a: number }]>();

// -- actors ------------------------------------------------------------------------------------------------------------

class Counter {
  readonly label: string;
  private secret = 1;
  #hidden = 2;
  constructor(label: string, start = 0) {
    this.label = label + start + this.secret + this.#hidden;
  }
  inc(by = 1): number {
    return by;
  }
  *upTo(to: number) {
    for (let n = 0; n < to; n += 1) yield n;
  }
  async name(): Promise<string> {
    return this.label;
  }
  private internal(): void {}
  protected guarded(): void {
    this.internal();
  }
}
const CounterActor = remote(Counter, { maxRestarts: 1 });
const counter = CounterActor.remote("c", add.remote(1, 2));
expectTypeOf(counter).toEqualTypeOf<ActorHandle<Counter>>();
expectTypeOf(counter.inc.remote(2)).toEqualTypeOf<ObjectRef<number>>();
expectTypeOf(counter.name.remote()).toEqualTypeOf<ObjectRef<string>>();
expectTypeOf(counter.upTo.remote(2)).toEqualTypeOf<ObjectRefStream<number>>();
expectTypeOf(counter.upTo.options({ streamBackpressure: 1 }).remote(2)).toEqualTypeOf<ObjectRefStream<number>>();
expectTypeOf(counter.inc.options({ maxTaskRetries: 1 }).remote()).toEqualTypeOf<ObjectRef<number>>();
expectTypeOf(getActor<Counter>("c")).resolves.toEqualTypeOf<ActorHandle<Counter>>();
expectTypeOf(ready(counter)).toEqualTypeOf<Promise<void>>();
// @ts-expect-error fields are not on the handle
counter.label;
// @ts-expect-error private methods are not on the handle
counter.internal;
// @ts-expect-error a constructor argument of the wrong type
CounterActor.remote(5);
// @ts-expect-error a method argument of the wrong type
counter.inc.remote("2");

expectTypeOf(init({ numCpus: 2 })).toEqualTypeOf<Promise<Cluster>>();
