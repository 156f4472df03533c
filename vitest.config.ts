// One run of the tests: its own temporary folder and its own mark on every process, so that what it leaves behind is found.

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { ClosingLine } from "./test/closing-line.ts";

if (process.env.TROUPE_TEST_RUN === undefined) {
  process.env.TROUPE_TEST_RUN = randomBytes(8).toString("hex");
  // Short: paths of Unix sockets may have 107 bytes.
  const folder = mkdtempSync(join(tmpdir(), "troupe-t-"));
  process.env.TMPDIR = folder;
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
}

const CLUSTER_TESTS = ["test/cluster/**/*.test.ts", "test/cli/**/*.test.ts", "test/security.test.ts", "test/examples.test.ts"];

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: "all", include: ["test/**/*.test.ts"] } },
      // The tests of whole clusters a second time, with gRPC as the only transport.
      { extends: true, test: { name: "grpc", include: CLUSTER_TESTS, env: { TROUPE_TRANSPORT: "grpc" } } },
    ],
    exclude: ["**/node_modules/**", "**/dist/**"],
    pool: "forks",
    // Tests of whole clusters start processes of their own: half the machine is theirs.
    maxWorkers: Math.min(4, Math.max(2, Math.floor(availableParallelism() / 2))),
    // Bounds of what is stuck, on a machine that is busy with much else: no test says how long anything takes.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    expect: { poll: { timeout: 20_000 } },
    globalSetup: ["test/leak-check.ts"],
    reporters: ["default", new ClosingLine()],
    server: { deps: { external: [/\/dist\//] } },
  },
});
