// A node that has none of the driver's files: its processes see an empty folder where the project is.

import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { Machine, tokenFileOf } from "../cli/machine.ts";
import { Project } from "./fixtures/project.ts";

const FILES = {
  "lib/table.mjs": `
    import { readFileSync } from "node:fs";
    export const table = JSON.parse(readFileSync(new URL("./table.json", import.meta.url), "utf8"));
    export const look = (at) => table[at];
  `,
  "lib/table.json": "[10, 20, 30]",
  "main.mjs": `
    import { existsSync, readdirSync } from "node:fs";
    import { get, init, remote, run, shutdown } from "troupe";
    import { look } from "./lib/table.mjs";
    await init({ runtimeEnv: { workingDir: "." } });
    const here = process.argv[1];
    const offset = new Uint8Array(100_000).fill(5);
    class Counter {
      count = 0;
      add(by) { return (this.count += look(by) + offset[by]); }
    }
    const counter = remote(Counter).remote();
    const result = {
      isHere: existsSync(here), isThere: await run(remote((path) => existsSync(path)), here),
      imported: await run(remote(look), 1), byValue: await run(remote((at) => look(at) + offset[at]), 2),
      files: await run(remote(() => readdirSync(".").sort())), actor: await get(counter.add.remote(0)),
    };
    await shutdown();
    console.log(JSON.stringify(result));
  `,
};

/** Why there can be no such node here, if so. */
function obstacle(): string | undefined {
  try {
    execFileSync("unshare", ["-m", "true"], { stdio: "ignore" });
    return undefined;
  } catch (error) {
    return `no mount namespaces can be made: ${(error as Error).message.trim()}`;
  }
}

test("a job submitted to a cluster whose nodes have none of its files runs", async (context) => {
  const reason = obstacle();
  if (reason !== undefined) return context.skip(reason);
  using project = new Project(FILES);
  const hidden = new Machine(["unshare", "-m", "sh", "-c", `mount -t tmpfs none "${project.folder}" && exec "$@"`, "sh"]);
  try {
    const head = await hidden.troupe("start", "--head", "--num-cpus", "2", "--port", "0");
    expect(head.code, head.stderr).toBe(0);
    const { address } = await hidden.status();
    const token = readFileSync(tokenFileOf(head), "utf8").trim();
    expect(await project.run("main.mjs", { socket: address, token })).toEqual({
      isHere: true, isThere: false, imported: 20, byValue: 35, files: ["lib", "main.mjs", "package.json"], actor: 15,
    });
  } finally {
    await hidden.remove();
  }
});
