// What is given at the doors: wrong options are refused by name, with the value and what is allowed.

import { expect, test } from "vitest";
import { InvalidArgumentError } from "../../../runtime/errors.ts";
import { init } from "../../../sdk/init.ts";
import { remote } from "../../../sdk/remote.ts";
import { inGroup, onNode } from "../../../sdk/strategies.ts";

class Cell {
  get(): number {
    return 1;
  }
}

const RESOURCES: Record<string, readonly unknown[]> = {
  numCpus: ["1", -1, NaN, Infinity, null, 0.00001],
  numGpus: ["1", -1, NaN, null, 1.5],
  memory: ["x", -5, {}, null, "5 apples", NaN],
  resources: [5, "x", null, [], { a: -1 }, { a: "2" }, { CPU: 1 }, { "": 1 }, { a: 0.00001 }],
  labelSelector: [5, { a: 5 }, null, [], { a: "in(" }, { a: "" }],
  schedulingStrategy: ["fast", 5, {}, null, { kind: "node" }, { kind: "group" }],
  throwOnInfeasible: [1, null],
  infeasibleGraceMs: [-1, "5", null],
  runtimeEnv: [5, "x", null, [], { foo: 1 }],
  capture: ["copy", null],
  name: [5, "", null],
  retryExceptions: ["yes", 5, [5], null, {}],
  unheard: [1],
};
const TASKS: Record<string, readonly unknown[]> = {
  ...RESOURCES,
  numReturns: [-1, 1.5, "2", null], maxRetries: [-2, 1.5, "3", null, Infinity], maxCalls: [-1, 1.5, null],
  retryDelayMs: [-1, "5", null], retryBackoff: [-1, null], maxRetryDelayMs: [-1, null], timeoutMs: [-1, 0, "5", null, Infinity],
  attemptTimeoutMs: [0, null], signal: [5, {}, null], exclusive: [1, null], scope: ["run", null],
  streamBackpressure: [0, 1.5, null],
};
const ACTORS: Record<string, readonly unknown[]> = {
  ...RESOURCES,
  namespace: [5, "", null], lifetime: ["detach", null], getIfExists: [1, null], maxRestarts: [-2, 1.5, null],
  maxTaskRetries: [-2, null], maxConcurrency: [0, 1.5, "1", null, Infinity],
  concurrencyGroups: [5, [], { a: 0 }, { "": 1 }, null],
  methods: [5, [], null, { get: 5 }, { get: { unheard: 1 } }, { gone: {} }, { get: { concurrencyGroup: "gone" } }],
  maxPendingCalls: [-2, null], allowOutOfOrder: [1, null], isolation: ["vm", null], heapLimit: ["x"], reentrant: [1, null],
  numReturns: [2], maxRetries: [3], timeoutMs: [5],
};
const INIT: Record<string, readonly unknown[]> = {
  address: [5, "", null], token: [5, ""], tokenFile: [5, ""], trustedNetwork: ["yes"], namespace: [5, "", null], jobName: [5, ""],
  numCpus: ["1", -1, NaN, Infinity, null], numGpus: ["1", -1, null, 0.5], memory: ["x", -1, null],
  resources: [5, "x", null, [], { a: -1 }, { CPU: 2 }], labels: [5, "x", null, [], { a: 5 }], objectStoreMemory: ["x", -1, null],
  spillFolder: [true, ""], logToDriver: [5, "x", null], runtimeEnv: [5, null, { foo: 1 }], ignoreReinit: [1, null], quota: [5],
  unheard: [1],
};

const rows = (all: Record<string, readonly unknown[]>) => (
  Object.entries(all).flatMap(([name, values]) => values.map((value) => [name, value] as const))
);
/** The text of what it is refused with: it names the option, or the entry of it. */
function refusal(name: string, act: () => unknown): string {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect((error as Error).message).toMatch(name === "methods" ? "method" : name);
    return (error as Error).message;
  }
  return expect.unreachable(`${name} was not refused`);
}

test.each(rows(TASKS))("a task's %s can't be %j", (name, value) => {
  const text = refusal(name, () => remote(() => 1, { [name]: value }));
  expect(refusal(name, () => remote(() => 1).options({ [name]: value }))).toBe(text);
});

test.each(rows(ACTORS))("an actor's %s can't be %j", (name, value) => {
  const text = refusal(name, () => remote(Cell, { [name]: value }));
  expect(refusal(name, () => remote(Cell).options({ [name]: value }))).toBe(text);
});

test.each(rows(INIT))("init: %s can't be %j", async (name, value) => {
  const error = await init({ [name]: value }).then(() => expect.unreachable(`${name} was not refused`), (found: Error) => found);
  refusal(name, () => {
    throw error;
  });
});

test("options are an object", async () => {
  for (const given of [null, 5, "x", []]) {
    expect(() => remote(() => 1, given as never)).toThrow(/task options must be an object, not /);
    expect(() => remote(Cell).options(given as never)).toThrow(/actor options must be an object, not /);
    await expect(init(given as never)).rejects.toThrow(/init options must be an object, not /);
  }
});

test("the value is in the message, in short", () => {
  const where = Array.from({ length: 1000 }, () => "long");
  expect(refusal("resources", () => remote(() => 1, { resources: where as never }))).toMatch(
    /^task option resources must be an object, not \[ 'long', 'long', 'long', ... 997 more items \]$/,
  );
});

test("undefined is not given: what was given before holds", () => {
  const named = remote(Cell, { name: "cell" });
  expect(() => named.options({ name: undefined, getIfExists: true })).not.toThrow();
  expect(() => named.options({ numCpus: undefined, maxRestarts: undefined }).options({ getIfExists: true })).not.toThrow();
  expect(() => remote(Cell, { getIfExists: true })).toThrow(/getIfExists needs a name/);
  for (const name of Object.keys(TASKS)) if (name !== "unheard") remote(() => 1, { [name]: undefined });
});

test("where work is to run", () => {
  expect(() => onNode("")).toThrow(InvalidArgumentError);
  expect(() => onNode("n", { sof: true } as never)).toThrow(/onNode option sof is not known; known are: soft/);
  expect(() => inGroup(undefined as never)).toThrow(/inGroup: expected a placement group/);
});
