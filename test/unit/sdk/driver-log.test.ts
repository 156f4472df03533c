// Lines of workers at the driver: all of them as they come, or repeated ones counted, on request.

import { expect, test } from "vitest";
import type { Clock } from "../../../runtime/seams.ts";
import { DriverLog } from "../../../sdk/driver-log.ts";

function logOf(folded: boolean) {
  const out: string[] = [];
  const timers: (() => void)[] = [];
  const clock = { after: (_ms: number, act: () => void) => (timers.push(act), { cancel: () => {} }) } as unknown as Clock;
  const log = new DriverLog({ clock, folded, write: (line, stderr) => void out.push(`${stderr ? "2" : "1"} ${line}`) });
  const print = (pid: number, line: string, stderr = false) => (
    log.printed({ process: "p", pid, jobId: "j", stderr, lines: [line], node: "n" })
  );
  return { out, log, print, elapse: () => timers.splice(0).forEach((act) => act()) };
}

test("every line is printed, also the same one again", () => {
  const { out, log, print } = logOf(false);
  for (let time = 0; time < 3; time += 1) print(1, "same");
  log.close();
  expect(out).toEqual(["1 (pid=1) same", "1 (pid=1) same", "1 (pid=1) same"]);
});

test("folded: the first at once, the others counted, and counted anew after that was told", () => {
  const { out, log, print, elapse } = logOf(true);
  print(1, "same");
  print(2, "other");
  print(2, "same");
  print(3, "same");
  print(3, "same", true);
  expect(out).toEqual(["1 (pid=1) same", "1 (pid=2) other", "2 (pid=3) same"]);
  elapse();
  expect(out.slice(3)).toEqual(["1 (2 processes) same [repeated 2×]"]);
  print(1, "same");
  print(1, "same");
  log.close();
  log.close();
  expect(out.slice(4)).toEqual(["1 (pid=1) same", "1 (pid=1) same [repeated 1×]"]);
});
