// init({ dashboard }): whether and where a private cluster tells its metrics.

import { createServer, type AddressInfo, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { init, isInitialized, list, remote, run, shutdown } from "troupe";

afterEach(() => shutdown());

/** Holds a port of loopback. */
async function held(): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

const close = (server: Server) => new Promise((resolve) => server.close(resolve));

test("at a port that was asked for", async () => {
  const { server, port } = await held();
  await close(server);
  await init({ numCpus: 1, dashboard: { port } });
  await run(remote(() => 1));
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  expect(response.status).toBe(200);
  expect(await response.text()).toContain("# TYPE troupe_");
  expect(await list.nodes()).toEqual([expect.objectContaining({ metricsPort: port })]);
});

test("nowhere, or at any free port when nothing was said", async () => {
  await init({ numCpus: 1, dashboard: false });
  expect(await list.nodes()).toEqual([expect.objectContaining({ metricsPort: 0 })]);
  await shutdown();
  await init({ numCpus: 1 });
  const [{ metricsPort }] = await list.nodes();
  expect((await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).status).toBe(200);
});

test("a port that is taken keeps the cluster from starting, and says so", async () => {
  const { server, port } = await held();
  try {
    await expect(init({ numCpus: 1, dashboard: { port } })).rejects.toThrow(new RegExp(`127\\.0\\.0\\.1:${port}`));
    expect(isInitialized()).toBe(false);
  } finally {
    await close(server);
  }
});

test.each([true, {}, { port: -1 }, { port: "80" }, { port: 1, host: "0.0.0.0" }])("%j is refused", async (dashboard) => {
  await expect(init({ dashboard: dashboard as never })).rejects.toThrow(/dashboard must be false, or \{ port \}/);
});

test("of a cluster that runs already is for who started it to say", async () => {
  await expect(init({ address: "127.0.0.1:1", token: "x", dashboard: { port: 1 } })).rejects.toThrow(/dashboard/);
  await expect(init({ mode: "inline", dashboard: { port: 1 } })).rejects.toThrow(/dashboard/);
  await init({ mode: "inline", dashboard: false });
  expect(isInitialized()).toBe(true);
});
