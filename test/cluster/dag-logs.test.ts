// What tasks tell while they run: it is heard while they run, once and in order, and outlives the worker that told it.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, init, remote, shutdown } from "troupe";
import { connection, ctx, dag, type DagEvent, type DagRun, getRun, setConnection, task } from "troupe/dag";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "logs-"));
  await init({ numCpus: 2 });
});
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true });
});

/** A file that a task waits for: it goes on when what it told was heard. */
const signal = (name: string): { readonly path: string; give(): void } => {
  const path = join(folder, name);
  return { path, give: () => writeFileSync(path, "") };
};
const soon = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 10); });

/** Events as they come, until one says so. */
async function until(events: AsyncIterator<DagEvent>, isLast: (event: DagEvent) => boolean): Promise<DagEvent[]> {
  const seen: DagEvent[] = [];
  for (let step = await events.next(); step.done !== true; step = await events.next()) {
    seen.push(step.value);
    if (isLast(step.value)) return seen;
  }
  throw new Error(`the run was over before: ${JSON.stringify(seen)}`);
}
const listen = (run: DagRun): AsyncIterator<DagEvent> => run.events()[Symbol.asyncIterator]();
const says = (value: unknown) => (event: DagEvent): boolean => event.type === "log" && event.value === value;
const told = async (run: DagRun): Promise<unknown[]> => {
  const all: unknown[] = [];
  for await (const { type, attempt, state, value } of run.events()) {
    if (type === "log") all.push(value);
    else if (type === "task") all.push(`${state} ${attempt}`);
  }
  return all;
};

describe("while it runs", () => {
  // HTTP/2 is written by the loop: a process that blocks it says nothing there.
  const kinds = process.env.TROUPE_TRANSPORT === "grpc" ? ["waits"] : ["waits", "never gives way"];
  test.each(kinds)("lines come in order, once, after its start and before its end, when it %s", async (kind) => {
    const go = [0, 1].map((n) => signal(`${kind}${n}`));
    const paths = go.map(({ path }) => path);
    const isBlocking = kind !== "waits";
    const talks = task("talks", async () => {
      for (const [n, path] of paths.entries()) {
        for (let line = 0; line < 3; line += 1) console.log(`line ${3 * n + line}`);
        ctx().logger.info(`said ${n}`);
        ctx().metric("n", n);
        // What comes between two notes goes with the next one: something always follows.
        while (!existsSync(path)) {
          const { now, logger } = ctx();
          const next = now().getTime() + 100;
          if (!isBlocking) await soon();
          else while (now().getTime() < next);
          if (isBlocking) logger.info("still here");
        }
      }
    });
    const run = await dag(`talks-${isBlocking}`, () => talks()).run();
    const events = listen(run);
    const seen: DagEvent[] = [];
    for (const [n, one] of go.entries()) {
      seen.push(...(await until(events, ({ type, value }) => type === "metric" && value === n)));
      expect((await run.tasks())[0].state).toBe("running");
      one.give();
    }
    await run.done();
    const lines = (await told(run)).filter((value) => value !== "still here");
    expect(lines).toEqual([
      "scheduled 0", "queued 0", "running 0", "line 0", "line 1", "line 2", "said 0", "line 3", "line 4", "line 5", "said 1",
      "success 0",
    ]);
    expect(seen.map(({ seq }) => seq)).toEqual(seen.map((_, place) => place));
  });

  test("another process hears it too", async () => {
    const go = signal("other");
    const { path } = go;
    const talks = task("talks", async () => {
      console.log("here I am");
      while (!existsSync(path)) await soon();
    });
    const run = await dag("other", () => talks()).run();
    const hears = remote(async (id: string) => {
      for await (const { type, value } of (await getRun(id)).events()) if (type === "log") return value;
      return "nothing";
    }, { numCpus: 0 });
    expect(await get(hears.remote(run.id))).toBe("here I am");
    expect((await run.tasks())[0].state).toBe("running");
    go.give();
    await run.done();
  });

  test("secrets are hidden", async () => {
    await setConnection("told", "https://me:0pen-sesame@told.example");
    const go = signal("secret");
    const { path } = go;
    const talks = task("talks", async () => {
      console.log(`it is ${(await connection("told")).password}`);
      while (!existsSync(path)) await soon();
    });
    const run = await dag("hidden", () => talks()).run();
    await until(listen(run), says("it is ***"));
    go.give();
    await run.done();
    expect(JSON.stringify(await told(run))).not.toContain("sesame");
  });
});

describe("of a worker that was killed", () => {
  test.each([0, 1])("lines are kept that it had told, with %s repeats; the next one tells anew", async (maxRetries) => {
    const go = signal(`killed${maxRetries}`);
    const { path } = go;
    const talks = task("talks", async () => {
      console.log(`attempt ${ctx().attempt}`);
      while (!existsSync(path)) await soon();
      console.log("and on");
    }, { maxRetries });
    const run = await dag(`killed-${maxRetries}`, () => talks()).run();
    const events = listen(run);
    await until(events, says("attempt 0"));
    process.kill((await run.tasks())[0].workerPid!, "SIGKILL");
    if (maxRetries > 0) {
      const seen = await until(events, says("attempt 1"));
      expect(seen.at(-1)).toMatchObject({ taskId: "talks", attempt: 1, name: "stdout" });
      go.give();
    }
    await run.done();
    const lines = (await told(run)).filter((value) => !/^(Error|\w*Error:|scheduled|queued|running)/.test(String(value)));
    expect(lines).toEqual(maxRetries === 0 ? ["attempt 0", "failed 0"] : ["attempt 0", "attempt 1", "and on", "success 1"]);
  });
});
