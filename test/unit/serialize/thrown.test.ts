import { expect, test } from "vitest";
import { ActorDiedError, TaskError, TroupeError, SerializationError } from "../../../runtime/errors.ts";
import { decodeThrown, encodeThrown } from "../../../runtime/serialize/index.ts";
import { UserError, hooks } from "./fixtures.ts";

const task = { taskName: "train", taskId: "t1", workerPid: 42, nodeId: "n1" };
const callSite = "    at main (driver.ts:1:1)";

function thrown(error: unknown): TaskError & Record<string, unknown> {
  return decodeThrown(encodeThrown(error, hooks, task), hooks, { callSite }) as TaskError & Record<string, unknown>;
}

test("the user's error arrives as itself and as a TaskError", () => {
  const error = Object.assign(new UserError("broken", { cause: new TypeError("why") }), { row: { id: 7 } });
  const result = thrown(error);
  expect(result).toBeInstanceOf(TaskError);
  expect(result).toBeInstanceOf(TroupeError);
  expect(result).toBeInstanceOf(UserError);
  expect(result).toBeInstanceOf(Error);
  expect(result).not.toBeInstanceOf(ActorDiedError);
  expect(result).toMatchObject({
    ...task,
    name: "UserError",
    message: "broken",
    status: 418,
    row: { id: 7 },
    code: "TASK_ERROR",
  });
  expect(result.cause).toBeInstanceOf(TypeError);
  expect(result.stack).toBe(`${error.stack}\n    — remote: task "train", worker 42, node n1 —\n${callSite}`);
});

test("built-in classes and system errors keep theirs", () => {
  expect(thrown(new RangeError("r"))).toBeInstanceOf(RangeError);
  expect(thrown(new DOMException("stop", "AbortError"))).toMatchObject({ name: "AbortError" });
  expect(thrown(new DOMException("stop", "AbortError"))).toBeInstanceOf(DOMException);
  const died = thrown(new ActorDiedError("gone", { actorId: "a" }));
  expect(died).toBeInstanceOf(ActorDiedError);
  expect(died).toBeInstanceOf(TaskError);
  const missing = thrown(Object.assign(new Error("no file"), { code: "ENOENT", errno: -2 }));
  expect(missing).toMatchObject({ code: "ENOENT", errno: -2 });
  expect(thrown(new AggregateError([new UserError("one")], "many")).errors).toMatchObject([{ message: "one", status: 418 }]);
});

test("an error that passes through dependants keeps its first story", () => {
  const first = thrown(new UserError("broken"));
  const second = decodeThrown(encodeThrown(first, hooks, { ...task, taskName: "later" }), hooks, { callSite }) as TaskError;
  expect(second.taskName).toBe("train");
  expect(second.stack).toBe(first.stack);
  expect(second).toBeInstanceOf(UserError);
  expect(second).toBeInstanceOf(TaskError);
});

test.each([
  ["text", "text"],
  [42, "42"],
  [undefined, "undefined"],
  [{ a: 1 }, "{ a: 1 }"],
  [null, "null"],
  [Symbol("s"), "Symbol(s)"],
])("a thrown %o is a TaskError with its text", (value, text) => {
  const result = thrown(value);
  expect(result).toBeInstanceOf(TaskError);
  expect(result.message).toBe(text);
  if (typeof value !== "symbol") expect(result.cause).toEqual(value);
});

test("fields that cannot travel leave their text", () => {
  const result = thrown(
    Object.assign(new Error("m"), { p: Promise.resolve(1), socket: new WeakMap(), kept: 1, [Symbol("x")]: 2 }),
  );
  expect(result.kept).toBe(1);
  expect(result.p).toMatch(/Promise/);
  expect(result.socket).toMatch(/WeakMap/);
});

test("hostile errors are not lost", () => {
  const getter = Object.defineProperty(new Error("getter"), "bad", {
    get() {
      throw new Error("inside");
    },
    enumerable: true,
  });
  expect(thrown(getter).bad).toMatch(/getter threw: inside/);
  expect(
    thrown(
      new Proxy(new Error("p"), {
        get() {
          throw new Error("trap");
        },
      }),
    ),
  ).toBeInstanceOf(TaskError);
  expect(thrown(Object.freeze(new UserError("frozen")))).toMatchObject({ message: "frozen", status: 418 });
  const huge = thrown(new Error("x".repeat(50_000_000)));
  expect(huge.message.length).toBeLessThan(70_000);
  expect(huge.message).toMatch(/50000000 characters, cut/);
  const a = new Error("a");
  const b = new Error("b", { cause: a });
  a.cause = b;
  expect((thrown(a).cause as Error).message).toBe("b");
  let chain: Error = new Error("end");
  for (let i = 0; i < 10_000; i++) chain = new Error(`link ${i}`, { cause: chain });
  expect(thrown(chain).message).toBe("link 9999");
  const badMessage = Object.defineProperty(new Error("m"), "message", {
    get() {
      throw new Error("no");
    },
  });
  expect(thrown(badMessage)).toBeInstanceOf(TaskError);
  const fields = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`f${i}`, "y".repeat(60_000) + "☃"]));
  expect(thrown(Object.assign(new UserError("many"), fields))).toBeInstanceOf(UserError);
  expect(thrown(Object.assign(Object.create(UserError.prototype), { message: "not made by its class" })).message).toBe(
    "not made by its class",
  );
});

test("a class that is not known here falls back to a built-in one and keeps its name", () => {
  class Elsewhere extends RangeError {
    field = 1;
  }
  const bytes = encodeThrown(new Elsewhere("far"), hooks, task);
  const ignorant = {
    ...hooks,
    code: () => {
      throw new Error("unknown code");
    },
  };
  const result = decodeThrown(bytes, ignorant) as TaskError & { field: number };
  expect(result).toBeInstanceOf(RangeError);
  expect(result).toBeInstanceOf(TaskError);
  expect(result).toMatchObject({ name: "Elsewhere", message: "far", field: 1 });
  const uncapturable = {
    ...hooks,
    code: () => {
      throw new SerializationError("no capture");
    },
  };
  expect(decodeThrown(encodeThrown(new Elsewhere("far"), uncapturable, task), hooks)).toMatchObject({
    name: "Elsewhere",
    field: 1,
  });
});
