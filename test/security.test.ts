// What a started cluster shows to the machine it runs on: only loopback and its user's own sockets, and nowhere its token.

import { execFile } from "node:child_process";
import { chmodSync, lstatSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { childrenOf } from "../sdk/testing/process-tree.ts";
import { type Ended, Machine, tokenFileOf } from "./cli/machine.ts";
import { until } from "./until.ts";

const machine = new Machine();
let head: Ended;
let address: string;
/** Processes of the cluster. */
let pids: number[];

beforeAll(async () => {
  const node = ["--num-cpus", "1", "--object-store-memory", "64MiB"];
  head = await machine.troupe("start", "--head", "--port", "0", ...node);
  address = (await machine.status()).address;
  await machine.troupe("start", "--address", address, "--token-file", tokenFileOf(head), ...node);
  await until(async () => (pids = await processes()).length === PROCESSES);
});
afterAll(() => machine.remove());

/** Two agents, a head and two workers. */
const PROCESSES = 5;

async function processes(): Promise<number[]> {
  return (await machine.status()).nodes.flatMap(({ pid }) => [pid, ...childrenOf(pid).map((child) => child.pid)]);
}

function inodesOf(pid: number): Set<string> {
  const links = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      // It was closed in between.
      return "";
    }
  });
  return new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
}

function fieldsOf(file: string): string[][] {
  return readFileSync(file, "utf8").trim().split("\n").slice(1).map((line) => line.trim().split(/\s+/));
}

describe("listening sockets", () => {
  test("of TCP are on loopback, for each agent that of other nodes and that of its metrics", () => {
    const inodes = new Set(pids.flatMap((pid) => [...inodesOf(pid)]));
    // Fields of /proc/net/tcp: local address, state (0A: listening), inode.
    const listening = (file: string) => fieldsOf(file).filter((fields) => fields[3] === "0A" && inodes.has(fields[9]));
    const hosts = listening("/proc/net/tcp").map(([, local]) => local.split(":")[0]);
    expect(hosts).toEqual(["0100007F", "0100007F", "0100007F", "0100007F"]);
    expect(listening("/proc/net/tcp6")).toEqual([]);
  });

  test("of Unix have mode 0600, in folders of mode 0700", () => {
    const inodes = new Set(pids.flatMap((pid) => [...inodesOf(pid)]));
    // Fields of /proc/net/unix: flags (00010000: listening), inode, path.
    const listening = fieldsOf("/proc/net/unix").filter((fields) => fields[3] === "00010000" && inodes.has(fields[6]));
    const paths = listening.map((fields) => fields[7]);
    expect(paths.length).toBeGreaterThanOrEqual(5);
    for (const path of paths) {
      expect(path, "no abstract names").toMatch(/^\//);
      // A listener binds beside its final name, and moves there once the mode is right.
      const folder = dirname(path);
      expect(lstatSync(folder).mode & 0o777, folder).toBe(0o700);
      for (const name of readdirSync(folder).filter((each) => each.endsWith(".sock"))) {
        expect(lstatSync(join(folder, name)).mode & 0o777, name).toBe(0o600);
      }
    }
    expect(lstatSync(dirname(dirname(paths[0]))).mode & 0o777).toBe(0o700);
  });
});

describe("processes of other users", () => {
  const NOBODY = 65_534;
  const isRoot = process.getuid?.() === 0;

  /** What becomes of a connection of that user which says nothing. */
  function connectionOf(uid: number, path: string): Promise<string> {
    const program = `
      const socket = require("node:net").connect(process.argv[1]);
      socket.on("error", (error) => console.log(error.code));
      socket.on("close", () => process.exit());
      socket.on("end", () => console.log("ended"));
      socket.on("connect", () => setTimeout(() => { console.log("open"); process.exit(); }, 1000));`;
    const options = { uid, gid: uid, cwd: "/", encoding: "utf8", timeout: 60_000 } as const;
    return new Promise((resolve, reject) => {
      execFile(process.execPath, ["-e", program, path], options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
  }

  test("are refused even where modes let them through", async (context) => {
    if (!isRoot) return context.skip("only root can start a process of another user");
    const session = dirname(tokenFileOf(head));
    const path = join(session, "agent.sock");
    expect(await connectionOf(NOBODY, path)).toBe("EACCES\n");
    const folders: string[] = [];
    for (let folder = session; folder !== "/"; folder = dirname(folder)) {
      if ((lstatSync(folder).mode & 0o777) === 0o700) folders.push(folder);
    }
    for (const folder of folders) chmodSync(folder, 0o711);
    chmodSync(path, 0o666);
    try {
      expect(await connectionOf(NOBODY, path)).toMatch(/^(ended|ECONNRESET|EPIPE)\n$/);
      expect(await connectionOf(0, path)).toBe("open\n");
    } finally {
      chmodSync(path, 0o600);
      for (const folder of folders) chmodSync(folder, 0o700);
    }
  });
});

describe("the token", () => {
  test("has 256 bits, and its file is the user's own", () => {
    const file = tokenFileOf(head);
    expect(readFileSync(file, "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
    for (const name of readdirSync(dirname(file)).filter((each) => !each.endsWith(".sock"))) {
      const found = lstatSync(join(dirname(file), name));
      expect(found.mode & 0o777, name).toBe(found.isDirectory() ? 0o700 : 0o600);
    }
  });

  test("is in no command line, no environment, no log and no output", () => {
    const token = readFileSync(tokenFileOf(head), "utf8").trim();
    const files = pids.flatMap((pid) => [`/proc/${pid}/cmdline`, `/proc/${pid}/environ`]);
    expect(files.filter((file) => readFileSync(file, "latin1").includes(token))).toEqual([]);
    expect(head.stdout + head.stderr).not.toContain(token);
    expect(readFileSync(join(dirname(tokenFileOf(head)), "agent.log"), "utf8")).not.toContain(token);
  });

  test("is asked of nodes, commands and programs", async () => {
    const wrong = join(machine.folder, "wrong");
    writeFileSync(wrong, `${"0".repeat(64)}\n`, { mode: 0o600 });
    for (const command of [["start"], ["status"], ["list", "nodes"]]) {
      const { code, stderr } = await machine.troupe(...command, "--address", address, "--token-file", wrong);
      expect([code, stderr], command[0]).toEqual([1, expect.stringContaining("AuthenticationError")]);
    }
    const { stdout } = await machine.driver(`
      const error = await init({ address: "${address}", tokenFile: "${wrong}" }).catch((thrown) => thrown);
      console.log(error instanceof AuthenticationError);`);
    expect(stdout).toBe("true\n");
    expect((await machine.status()).nodes).toHaveLength(2);
  });
});
