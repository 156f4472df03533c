// How a run is shown: lines for changes, and a tree that is drawn in place.

import { expect, test } from "vitest";
import { watchRun } from "../../cli/run-screen.ts";
import { RunView, shownMs } from "../../cli/run-view.ts";
import type { DagEvent } from "../../dag/index.ts";

const event = (ms: number, taskId: string, state: string, value?: string): DagEvent => (
  { seq: ms, at: new Date(ms), type: "task", taskId, attempt: 0, state, value }
);

test("a line a change, with how long it took and why", () => {
  const view = new RunView(["load"]);
  expect(view.see(event(0, "load", "scheduled"))).toBeUndefined();
  expect(view.see(event(10, "load", "running"))).toBe("1970-01-01T00:00:00.010Z load running");
  expect(view.see(event(1510, "load", "failed", "no\nfile"))).toBe("1970-01-01T00:00:01.510Z load failed 1.5s (no)");
});

test("a tree of groups and tasks; one line for all instances of a task", () => {
  const view = new RunView(["load", "each.fit", "each.check", "join"]);
  view.see(event(0, "load", "running"));
  view.see(event(20, "load", "success"));
  for (let i = 0; i < 4; i += 1) view.see(event(20, `each.fit[${i}]`, "running"));
  view.see(event(30, "each.fit[0]", "success"));
  view.see(event(40, "each.fit[1]", "failed", "bad"));
  expect(view.lines(1000)).toEqual([
    "✓ load success 20ms", "each", "  ✗ fit [2/4] 1 failed, 2 running, 1 success (bad)", "  · check", "· join",
  ]);
  view.see(event(50, "each.fit[1]", "running"));
  expect(view.lines(1000)[2]).toBe("  ● fit [1/4] 3 running, 1 success");
  expect(new RunView(["a"], true).lines(0)).toEqual(["· a"]);
});

test("a terminal is drawn over, no wider and no higher than it is; texts of users draw nothing", async () => {
  async function* events(): AsyncGenerator<DagEvent> {
    yield event(0, "a", "running");
    await new Promise((resolve) => setTimeout(resolve, 400));
    yield event(50, "a", "failed", "\x1b[2J evil and quite long for a narrow terminal");
  }
  const written: string[] = [];
  const screen = { isTTY: true, rows: 6, columns: 30, write: (text: string) => written.push(text) };
  await watchRun(events(), ["a", ...Array.from({ length: 9 }, (_, i) => `t${i}`)], screen);
  expect(written[0].split("\n")).toHaveLength(5);
  expect(written[0]).toContain("… 7 more");
  expect(written[1].startsWith("\x1b[4A\x1b[J")).toBe(true);
  const last = written.at(-1) as string;
  expect(last).toContain("a failed 50ms");
  expect(last.slice(8)).not.toContain("\x1b[2J");
  for (const line of last.split("\n")) expect(line.replaceAll(/\x1b\[\d*[mAJ]/g, "").length).toBeLessThan(30);
});

test("what others print on a terminal stands above what is drawn, whole", async () => {
  const written: string[] = [];
  const screen = { isTTY: true, rows: 9, columns: 40, write: (text: string) => void written.push(text) };
  const plain = screen.write;
  let drawn = (): void => {};
  const first = new Promise<void>((resolve) => (drawn = resolve));
  screen.write = (text) => {
    plain(text);
    if (text.includes("a running")) drawn();
  };
  async function* events(): AsyncGenerator<DagEvent> {
    yield event(0, "a", "running");
    await first;
    screen.write("(pid=1) a line\n");
    screen.write("half");
    yield event(50, "a", "success");
  }
  await watchRun(events(), ["a", "b"], screen);
  const at = written.indexOf("(pid=1) a line\n");
  expect(written[at - 1]).toBe("\x1b[2A\x1b[J");
  const after = written.slice(at + 1).filter((text) => text !== "");
  expect(after).toEqual(["half", expect.stringMatching(/^\n.*a.*success 50ms\n· b\n$/u)]);
});

test("a terminal that does not know how large it is is drawn on", async () => {
  const written: string[] = [];
  async function* events(): AsyncGenerator<DagEvent> { yield event(0, "a", "running"); }
  await watchRun(events(), ["a"], { isTTY: true, rows: 0, columns: 0, write: (text) => written.push(text) });
  expect(written.at(-1)).toContain("a running");
});

test.each([[0.4, "0ms"], [999, "999ms"], [1000, "1.0s"], [59_940, "59.9s"], [65_000, "1m05s"], [3_725_000, "1h02m"]])(
  "%d ms is %s", (ms, text) => expect(shownMs(ms)).toBe(text),
);
