// Runtime environments with real processes: on a private cluster and on nodes that have none of the driver's files.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  get, getActor, getRuntimeContext, InvalidArgumentError, kill, list, ready, remote, run, RuntimeEnvSetupError, shutdown, init,
} from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";

const envVar = remote((name: string) => process.env[name]);
const pid = remote(() => process.pid);

describe("variables and options", () => {
  beforeEach(async () => {
    await init({ numCpus: 2, runtimeEnv: { envVars: { JOB: "job", BOTH: "from the job" } } });
  });
  afterEach(() => shutdown());

  test("are there from the start of the worker, merged over the job's, and inherited by children", async () => {
    expect(await run(envVar, "JOB")).toBe("job");
    const own = envVar.options({ runtimeEnv: { envVars: { OWN: "own", BOTH: "from the task" } } });
    expect(await get(["JOB", "OWN", "BOTH"].map((name) => own.remote(name)))).toEqual(["job", "own", "from the task"]);
    const parent = remote(
      async () => {
        const inherited = ["JOB", "OWN"].map((name) => envVar.remote(name));
        const further = envVar.options({ runtimeEnv: { envVars: { MORE: "more" } } });
        return get([...inherited, ...["OWN", "MORE"].map((name) => further.remote(name))]);
      },
      { runtimeEnv: { envVars: { OWN: "own" } } },
    );
    expect(await run(parent)).toEqual(["job", "own", "own", "more"]);
    expect(process.env.JOB).toBeUndefined();
  });

  test("keep workers apart, and equal ones share theirs", async () => {
    const one = pid.options({ runtimeEnv: { envVars: { A: "1", B: "2" } } });
    const same = pid.options({ runtimeEnv: { envVars: { B: "2", A: "1" } } });
    const other = pid.options({ runtimeEnv: { envVars: { A: "2" } } });
    const first = await run(one);
    expect(await run(same)).toBe(first);
    expect(await run(other)).not.toBe(first);
    expect(await run(pid)).not.toBe(first);
  });

  test("are given to actors, and to their next life", async () => {
    class Env {
      get(name: string) {
        return process.env[name];
      }
      heap() {
        return process.execArgv;
      }
    }
    const runtimeEnv = { envVars: { ACTOR: "yes" }, nodeArgs: ["--max-old-space-size=77"] };
    const actor = remote(Env, { runtimeEnv, maxRestarts: 1 }).remote();
    expect(await get(actor.get.remote("ACTOR"))).toBe("yes");
    expect(await get(actor.get.remote("JOB"))).toBe("job");
    await kill(actor, { noRestart: false });
    await expect.poll(() => get(actor.get.remote("ACTOR")).catch(() => "not yet")).toBe("yes");
    expect(await get(actor.heap.remote())).toContain("--max-old-space-size=77");
  });

  test("that can't be are refused at the door", () => {
    const give = (runtimeEnv: object) => () => remote(() => 1, { runtimeEnv });
    expect(give({ envVars: { A: 1 } })).toThrow(/runtimeEnv\.envVars\.A must be a string, not number/);
    expect(give({ envVars: { NODE_OPTIONS: "--x" } })).toThrow(/runtimeEnv\.nodeArgs/);
    expect(give({ nodeArgs: ["-e", "1"] })).toThrow(/-e is not possible/);
    expect(give({ nodeArgs: ["--max-old-space-size", "77"] })).toThrow(/--name=value/);
    expect(give({ colour: "red" })).toThrow(InvalidArgumentError);
  });

  test("in which Node does not start fail the work with what it said, and are not tried for ever", async () => {
    const broken = pid.options({ runtimeEnv: { nodeArgs: ["--no-such-option-at-all"] } });
    const error = await run(broken).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RuntimeEnvSetupError);
    expect(String(error)).toMatch(/bad option: --no-such-option-at-all/);
    class Never {}
    await expect(ready(remote(Never, { runtimeEnv: { nodeArgs: ["--no-such-option-at-all"] } }).remote())).rejects.toThrow(
      RuntimeEnvSetupError,
    );
    expect(await run(pid)).toBeTypeOf("number");
  });
});

describe("on several nodes", () => {
  let cluster: TestCluster;
  beforeEach(async () => {
    cluster = await testCluster({ nodes: [{ resources: { a: 1 } }, { resources: { b: 1 } }] });
    await cluster.connect();
  });
  afterEach(() => cluster.stop());

  test("a task finds its environment wherever it runs, also one that a worker made", async () => {
    const onA = { resources: { a: 1 } };
    const onB = { resources: { b: 1 } };
    expect(await run(envVar.options({ ...onA, runtimeEnv: { envVars: { X: "far" } } }), "X")).toBe("far");
    const fromA = remote(
      async () => {
        const there = envVar.options({ ...onB, runtimeEnv: { envVars: { Y: "farther" } } });
        return [getRuntimeContext().nodeId, ...(await get([there.remote("X"), there.remote("Y")]))];
      },
      { ...onA, runtimeEnv: { envVars: { X: "far" } } },
    );
    const [, x, y] = await run(fromA);
    expect([x, y]).toEqual(["far", "farther"]);
    const broken = envVar.options({ ...onB, runtimeEnv: { nodeArgs: ["--no-such-option-at-all"] } });
    const error = await run(broken, "X").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(RuntimeEnvSetupError);
    const rows = await list.workers();
    expect(rows.length).toBeGreaterThan(0);
  });

  test("an actor that outlives its job keeps its environment, also in its next life", async () => {
    class Env {
      get(name: string) {
        return process.env[name];
      }
    }
    const options = { name: "env", namespace: "n", lifetime: "detached", maxRestarts: -1, resources: { a: 1 } } as const;
    const actor = remote(Env, { ...options, runtimeEnv: { envVars: { X: "kept" } } }).remote();
    await ready(actor);
    await shutdown();
    await cluster.connect();
    const found = await getActor<Env>("env", { namespace: "n" });
    const get1 = () => get(found.get.remote("X")).catch((error: unknown) => String(error));
    expect(await get1()).toBe("kept");
    await kill(found, { noRestart: false });
    await expect.poll(get1).toBe("kept");
    await kill(found);
  });
});
