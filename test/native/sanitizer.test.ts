// The addon under AddressSanitizer: a build of its own, run in a process that does everything with it.

import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { native } from "../../native/index.ts";

const SOURCES = fileURLToPath(new URL("../../native/src", import.meta.url));
const CHURN = fileURLToPath(new URL("./fixtures/churn.mjs", import.meta.url));
const HEADERS = join(dirname(dirname(process.execPath)), "include", "node");
const BUILD_MS = 30_000;
const RUN_MS = 45_000;

function sanitizer(): string | undefined {
  const found = spawnSync("gcc", ["-print-file-name=libasan.so"], { encoding: "utf8" });
  const path = found.status === 0 ? found.stdout.trim() : "";
  return path.startsWith("/") && existsSync(path) ? path : undefined;
}

const library = native !== undefined && existsSync(join(HEADERS, "node_api.h")) ? sanitizer() : undefined;

it.skipIf(library === undefined)("touches no memory that is not its own", () => {
  const addon = join(mkdtempSync(join(tmpdir(), "asan-")), "troupe_native.node");
  const files = readdirSync(SOURCES).filter((name) => name.endsWith(".c")).map((name) => join(SOURCES, name));
  const flags = [
    "-shared", "-fPIC", "-std=c11", "-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address",
    "-DNAPI_VERSION=9", "-D_GNU_SOURCE",
  ];
  execFileSync("gcc", [...flags, `-I${HEADERS}`, ...files, "-o", addon, "-lpthread"], { timeout: BUILD_MS });
  const run = spawnSync(process.execPath, ["--expose-gc", CHURN, addon], {
    encoding: "utf8",
    timeout: RUN_MS,
    env: { ...process.env, LD_PRELOAD: library, ASAN_OPTIONS: "detect_leaks=0:handle_segv=2:allow_user_segv_handler=0" },
  });
  expect({ status: run.status, output: run.stdout + run.stderr }).toEqual({ status: 0, output: "intact\n" });
}, BUILD_MS + RUN_MS);
