// Files of what workers print: complete while they are small, bounded when they are not, and no reason to fail.

import { existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { boundOwnLog, LogFiles } from "../../../runtime/agent/workers/log-files.ts";
import type { Clock } from "../../../runtime/seams.ts";

let folder: string;
let due: (() => void)[] = [];
const clock: Clock = {
  now: () => 0,
  wallNow: () => 0,
  after: (_ms, callback) => {
    due.push(callback);
    return { cancel: () => void (due = due.filter((one) => one !== callback)) };
  },
  soon: () => {},
};
const elapse = () => due.splice(0).forEach((callback) => callback());

beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "logs-"))));
afterEach(() => {
  due = [];
  rmSync(folder, { recursive: true, force: true });
});

const contentOf = (name: string) => readFileSync(join(folder, "logs", name), "utf8");
const filesOf = (options = {}) => new LogFiles({ folder: join(folder, "logs"), clock, ...options });

describe("files of workers", () => {
  test("hold every line in order, each worker's in its own", () => {
    const files = filesOf();
    files.write("a", ["one", "two"]);
    files.write("b", ["other"]);
    files.write("a", ["three"]);
    elapse();
    files.write("a", ["four"]);
    files.close();
    expect(contentOf("worker-a.log")).toBe("one\ntwo\nthree\nfour\n");
    expect(contentOf("worker-b.log")).toBe("other\n");
    expect(statSync(join(folder, "logs", "worker-a.log")).mode & 0o777).toBe(0o600);
  });

  test("have two parts at most, of bounded size, and keep what was printed last", () => {
    const files = filesOf({ partBytes: 1000 });
    for (let line = 0; line < 500; line += 1) {
      files.write("a", [`line ${line}`]);
      elapse();
    }
    files.write("a", ["x".repeat(5000)]);
    elapse();
    files.write("a", ["last"]);
    files.close();
    for (const name of readdirSync(join(folder, "logs"))) expect(contentOf(name).length, name).toBeLessThanOrEqual(1000);
    expect(contentOf("worker-a.log")).toBe("last\n");
    expect(readdirSync(join(folder, "logs"))).toHaveLength(2);
  });

  test("of workers that ended go, the oldest first, when they take too much", () => {
    const files = filesOf({ endedBytes: 2500 });
    for (let worker = 0; worker < 10; worker += 1) {
      files.write(`w${worker}`, ["x".repeat(999)]);
      files.ended(`w${worker}`);
    }
    expect(readdirSync(join(folder, "logs")).sort()).toEqual(["worker-w8.log", "worker-w9.log"]);
  });

  test("that can't be written cost lines, and say how many", () => {
    const files = filesOf();
    files.write("a", ["one"]);
    elapse();
    rmSync(join(folder, "logs"), { recursive: true });
    files.write("a", ["two", "three"]);
    elapse();
    files.write("b", ["begins the folder"]);
    elapse();
    expect(existsSync(join(folder, "logs"))).toBe(false);
  });
});

describe("the log of this process", () => {
  test("begins anew when it has become too large; what it does not write to a file is left alone", () => {
    const path = join(folder, "agent.log");
    const fd = openSync(path, "ax");
    boundOwnLog(fd, clock, 100);
    writeSync(fd, "short\n");
    elapse();
    expect(readFileSync(path, "utf8")).toBe("short\n");
    writeSync(fd, "x".repeat(200));
    elapse();
    writeSync(fd, "after\n");
    expect(readFileSync(path, "utf8")).toBe("(206 bytes of this log were dropped: a log has at most 100)\nafter\n");
    due = [];
    boundOwnLog(openSync("/dev/null", "a"), clock, 100);
    expect(due).toEqual([]);
  });
});
