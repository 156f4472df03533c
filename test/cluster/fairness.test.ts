// Who asked first does not have it all: jobs share a node, and so do the functions of a job.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { asCompleted, cancel, get, remote } from "troupe";
import { testCluster } from "troupe/testing";
import { pathToFileURL } from "node:url";

/** Of 50 ms each, on two CPUs: far more than there is time for until a process has started. */
const MINE = 4000;

const nap = (ms: number, name: string) => new Promise<string>((resolve) => void setTimeout(() => resolve(name), ms));

test("a job that comes later has its share while the work of the first lasts", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 } });
  await cluster.connect();
  const slow = remote(nap, { maxRetries: 0 });
  let ended = 0;
  const refs = Array.from({ length: MINE }, () => slow.remote(50, "mine"));
  const mine = refs.map((ref) => ref.value().then(() => (ended += 1), () => {}));
  await Promise.race(mine);
  const troupe = pathToFileURL("dist/sdk/index.js").href;
  const text = `
    const { get, init, remote, shutdown } = await import(${JSON.stringify(troupe)});
    await init({ address: ${JSON.stringify(cluster.socket)}, token: process.env.TOKEN });
    const nap = remote((ms) => new Promise((resolve) => setTimeout(resolve, ms)), { numCpus: 1 });
    await get(Array.from({ length: 20 }, () => nap.remote(50)));
    console.log("others done");
    await shutdown();`;
  const other = spawn(process.execPath, ["--input-type=module", "--eval", text], {
    env: { ...process.env, TOKEN: cluster.token }, stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void other.kill("SIGKILL"));
  const [said] = await once(other.stdout, "data");
  expect(String(said)).toContain("others done");
  expect(ended).toBeLessThan(MINE - 20);
  await cancel(refs);
  await Promise.all(mine);
});

test("a function that is called later does not wait for all calls of another", async () => {
  await using cluster = await testCluster({ head: { numCpus: 2 } });
  await cluster.connect();
  const many = remote(nap, { numCpus: 1 });
  const few = remote(nap, { numCpus: 2 });
  const refs = Array.from({ length: 200 }, () => many.remote(30, "many"));
  await Promise.race(refs.map((ref) => ref.value()));
  refs.push(few.remote(30, "few"), few.remote(30, "few"));
  let before = 0;
  for await (const ref of asCompleted(refs)) {
    if ((await get(ref)) === "few") break;
    before += 1;
  }
  // It needs the whole node: what runs is not stopped for it, and what waits does not pass it for ever.
  expect(before).toBeLessThan(150);
});
