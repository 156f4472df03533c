// Runtime environments: what a job, a task or an actor finds where it runs: files, variables, options of Node, packages.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, init, remote, run, RuntimeEnvSetupError } from "troupe";

const folder = await mkdtemp(join(tmpdir(), "app-"));
await writeFile(join(folder, "greeting.txt"), "hello");
await writeFile(join(folder, "notes.tmp"), "stays here");
await writeFile(join(folder, ".troupeignore"), "*.tmp\n");

// The folder goes to every node that runs something of this job, once; there it is the current folder.
await using _cluster = await init({ numCpus: 2, runtimeEnv: { workingDir: folder, envVars: { STAGE: "test" } } });

const greet = remote((name: string) => `${readFileSync("greeting.txt", "utf8")} ${name} (${process.env.STAGE})`);
assert.equal(await run(greet, "you"), "hello you (test)");
assert.equal(await run(remote(() => existsSync("notes.tmp"))), false);

// A task's own goes over the job's: variables are merged, other fields replace.
const inProduction = greet.options({ runtimeEnv: { envVars: { STAGE: "production" } } });
assert.equal(await run(inProduction, "all"), "hello all (production)");

// What every worker needs before its first task; children inherit it with the rest.
const state = globalThis as { model?: string };
const withModel = {
  nodeArgs: ["--max-old-space-size=256"],
  setupHook: () => {
    state.model = `loaded by ${process.pid}`;
  },
  // packages: { lodash: "^4.17.0" }, or "package-lock.json": npm installs them once a node.
};
const useModel = remote(() => [state.model, `loaded by ${process.pid}`], { runtimeEnv: withModel });
const [found, expected] = await run(useModel);
assert.equal(found, expected);

class Model {
  readonly name = (globalThis as { model?: string }).model;
  ask(question: string) {
    return `${question}: ${this.name}`;
  }
}
const model = remote(Model, { runtimeEnv: withModel }).remote();
assert.match(await get(model.ask.remote("who")), /^who: loaded by \d+$/);

// What can't be set up is told with its reason, and nothing of the work ran.
const broken = greet.options({ runtimeEnv: { setupHook: () => assert.fail("no model here") } });
await assert.rejects(run(broken, "nobody"), RuntimeEnvSetupError);

await rm(folder, { recursive: true });
console.log("environments: files, variables and a model went along");
