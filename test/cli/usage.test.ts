// What the command line says when it is used wrongly, and that it says it with the right status and no stack.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../cli/commands.ts";
import { Machine } from "./machine.ts";

const machine = new Machine();
afterAll(() => machine.remove());

describe("wrong usage ends with status 2 and a sentence", () => {
  test.each([
    [["bogus"], "unknown command 'bogus'"],
    [["start"], "give --head to start a new cluster, or --address to join one"],
    [["start", "--head", "--address", "a:1"], "give one of the two"],
    [["start", "--head", "--port", "70000"], "a number from 0"],
    [["start", "--head", "--resources", "{"], 'It must be JSON such as {"disk": 2}'],
    [["start", "--head", "--labels", "zone"], "NAME=VALUE"],
    [["start", "--head", "--object-store-memory", "much"], "not much"],
    [["start", "--head", "--listen", "0.0.0.0"], "no address that other nodes could dial"],
    [["start", "--head", "--listen", "10.9.8.7"], "--insecure-i-understand"],
    [["start", "--address", "10.9.8.7:1", "--token-file", "t"], "unencrypted beyond this machine"],
    [["status", "--address", "10.9.8.7:1", "--token-file", "package.json"], "--insecure-i-understand"],
    [["start", "--address", "127.0.0.1:1"], "needs its token"],
    [["start", "--address", "127.0.0.1:1", "--token-file", "absent"], "can't be read (ENOENT)"],
    [["list", "clouds"], "Allowed choices are nodes, actors, tasks, objects, workers, stores, events, groups, logs, jobs"],
    [["list"], "missing required argument 'kind'"],
    [["list", "tasks", "--filter", "colour=red"], "tasks have no field colour to filter by; they have id, name, state"],
    [["explain", "nothing"], "nothing is no id"],
    [["stop", "--hard"], "unknown option '--hard'"],
  ])("%j", async (args, text) => {
    const { code, stderr } = await machine.troupe(...args);
    expect(stderr).toContain(text);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(code).toBe(2);
  });
});

describe("what fails ends with status 1 and a sentence", () => {
  test("no cluster here, and none at the address", async () => {
    const none = await machine.troupe("status");
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining("no running cluster was found on this machine")]);
    const token = join(machine.folder, "wrong-token");
    writeFileSync(token, "wrong\n", { mode: 0o600 });
    const refused = await machine.troupe("status", "--address", "127.0.0.1:1", "--token-file", token);
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("ECONNREFUSED")]);
    expect(refused.stderr).not.toMatch(/^\s+at /m);
  });

  test("no benchmark of that name", async () => {
    const { code, stderr } = await machine.troupe("bench", "--only", "no such benchmark");
    expect([code, stderr]).toEqual([1, expect.stringContaining("no benchmark's name fits")]);
  });
});

test("every command explains itself with an example", async () => {
  const helpOf = (command: Command): string => {
    let text = "";
    command.configureOutput({ writeOut: (part) => void (text += part) }).outputHelp();
    return text;
  };
  const all = await Promise.all(Object.entries(COMMANDS).map(async ([name, { load }]) => {
    const command = new Command(name);
    (await load())(command);
    return [command, ...command.commands];
  }));
  const silent = all.flat().filter((command) => !/^Example:\n {2}\$ troupe \w/m.test(helpOf(command)));
  expect(silent.map((command) => command.name())).toEqual([]);
});

test("help and version are no failures", async () => {
  const { code, stdout } = await machine.troupe("start", "--help");
  expect([code, stdout]).toEqual([0, expect.stringContaining("Example:\n  $ troupe start --head")]);
  const version = await machine.troupe("--version");
  expect([version.code, version.stdout]).toEqual([0, expect.stringMatching(/^\d+\.\d+\.\d+\n$/)]);
});

test("doctor looks at everything, as data too", async () => {
  const { stdout } = await machine.troupe("doctor", "--json");
  const found = JSON.parse(stdout) as { name: string; state: string }[];
  expect(found.map(({ name }) => name)).toEqual(["Node.js", "native addon", "memory", "open files", "socket folder", "sessions"]);
  expect(found[0].state).toBe("ok");
});

test("the command line itself loads nothing of the sdk: commands load what they need", () => {
  const seen = new Set<string>();
  const walk = (file: URL): void => {
    if (seen.has(file.href)) return;
    seen.add(file.href);
    for (const [, path] of readFileSync(file, "utf8").matchAll(/^(?:import|export)(?! type)[^;]*?from "(\.[^"]+)"/gm)) {
      walk(new URL(path, file));
    }
  };
  walk(new URL("../../cli/main.ts", import.meta.url));
  walk(new URL("../../cli/dag.ts", import.meta.url));
  expect([...seen].filter((path) => /\/(?:sdk|dag|runtime\/[^/]+)\/[^/]+$/.test(path))).toEqual([]);
});
