// Ctrl-C in a driver: the first cancels and says what was pending, the second ends the program; also while its loop is blocked.

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const TROUPE = pathToFileURL("dist/sdk/index.js").href;

interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly err: string;
}

/** The program, when it has printed "ready". */
async function started(body: string): Promise<{ readonly child: ChildProcess; readonly ended: Promise<End> }> {
  const text = `
    const { get, init, remote, shutdown } = await import(${JSON.stringify(TROUPE)});
    await init({ numCpus: 2 });
    const nap = remote((ms) => new Promise((resolve) => setTimeout(resolve, ms)), { name: "nap", numCpus: 0 });
    const say = (word) => new Promise((resolve) => process.stdout.write(word + "\\n", resolve));
    ${body}`;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", text], { stdio: ["ignore", "pipe", "pipe"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  let err = "";
  child.stderr.on("data", (bytes) => (err += String(bytes)));
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal, err }));
  const tooSoon = ended.then((end) => Promise.reject(new Error(`it ended: ${JSON.stringify(end)}`)));
  await Promise.race([once(child.stdout, "data"), tooSoon]);
  return { child, ended };
}

test("the first cancels what is pending and says what it was; code that awaits it comes to its end", async () => {
  const { child, ended } = await started(`
    const refs = [nap.remote(60_000), nap.remote(60_000), nap.options({ name: "other" }).remote(60_000)];
    await say("ready");
    try {
      await get(refs);
    } catch (error) {
      console.error("caught", error.code);
    } finally {
      await shutdown();
    }`);
  child.kill("SIGINT");
  const { code, err } = await ended;
  expect(err).toContain("interrupted; 3 pending tasks and calls are cancelled (nap ×2, other)");
  expect(err).toContain("caught TASK_CANCELLED");
  expect(code).toBe(130);
});

test("a program that goes on is ended; the second ends it at once", async () => {
  const idle = await started(`setInterval(() => {}, 1000); await say("ready");`);
  idle.child.kill("SIGINT");
  expect(await idle.ended).toMatchObject({ code: 130, err: "" });
  const stubborn = await started(`
    setInterval(() => void get(nap.remote(60_000)).catch(() => {}), 10);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await say("ready");`);
  stubborn.child.kill("SIGINT");
  await once(stubborn.child.stderr as NodeJS.ReadableStream, "data");
  stubborn.child.kill("SIGINT");
  expect(await stubborn.ended).toMatchObject({ code: 130 });
});

test("a program whose loop is blocked is told so, and ended by the second", async () => {
  const { child, ended } = await started(`
    void get(nap.remote(60_000));
    await say("ready");
    for (;;);`);
  child.kill("SIGINT");
  const [said] = await once(child.stderr as NodeJS.ReadableStream, "data");
  expect(String(said)).toContain("has not seen the interrupt yet");
  child.kill("SIGINT");
  expect(await ended).toMatchObject({ signal: "SIGINT" });
});

test("a program that listens itself is left alone", async () => {
  const { child, ended } = await started(`
    process.on("SIGINT", () => void say("mine"));
    const ref = nap.remote(1000);
    await say("ready");
    await get(ref);
    await shutdown();`);
  child.kill("SIGINT");
  expect(await ended).toMatchObject({ code: 0, err: "" });
});
