// One object to all nodes of a cluster, over hosts whose links have the same rate: Troupe and Ray one after the other, round by
// round. `node dist/bench/broadcast.js [--nodes 4,8] [--mib 256] [--mbit 1000] [--rounds 3] [--full] [--no-ray]`, as root.
//
// `--full`: 1 GiB. A figure is the time from the submission of a task on each node, which takes the object, until all have
// returned; each round puts a new object, and every node has run a task before.

import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Namespaces, type Ran } from "./namespaces.ts";
import { rayPython } from "./python.ts";
import { median, shown } from "./timing.ts";

const CLI = fileURLToPath(new URL("../../cli/troupe.js", import.meta.url));
const DRIVER = fileURLToPath(new URL("broadcast-driver.js", import.meta.url));
const RAY_DRIVER = fileURLToPath(new URL("../../bench/ray-broadcast.py", import.meta.url));
const START_TIMEOUT_MS = 180_000;
const RUN_TIMEOUT_MS = 1_200_000;
const MIB = 1024 * 1024;
/** Ray takes no less. */
const RAY_STORE_LEAST = 80 * MIB;

interface Plan {
  readonly nodes: number;
  readonly mib: number;
  readonly mbit: number;
  readonly rounds: number;
}

type Side = "troupe" | "ray";

/** Seconds of each round. */
async function measure(side: Side, plan: Plan): Promise<number[]> {
  const network = new Namespaces(plan.nodes + 1, plan.mbit);
  const interrupted = (): void => {
    network.remove();
    process.exit(130);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, interrupted);
  try {
    const { code, stdout, stderr } = await (side === "troupe" ? troupe(network, plan) : ray(network, plan));
    const seconds = JSON.parse(stdout.trim().split("\n").at(-1) ?? "null") as number[] | null;
    if (code !== 0 || seconds === null) throw new Error(`the driver ended with ${code}: ${stderr.trim().split("\n").at(-1)}`);
    return seconds;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"]) process.removeListener(signal, interrupted);
    network.remove();
  }
}

async function troupe(network: Namespaces, { nodes, mib, rounds }: Plan): Promise<Ran> {
  const environment = (host: number) => {
    const { TROUPE_ADDRESS: _address, TROUPE_TOKEN: _token, ...rest } = process.env;
    return { ...rest, TMPDIR: network.folderOf(host), XDG_STATE_HOME: network.folderOf(host) };
  };
  const start = async (host: number, ...args: readonly string[]): Promise<Ran> => {
    const common = ["--num-cpus", "1", "--object-store-memory", `${3 * mib}MiB`, "--insecure-i-understand"];
    const command = [CLI, "start", ...args, ...common];
    return checked(await network.run(host, process.execPath, command, environment(host), START_TIMEOUT_MS));
  };
  const { stdout } = await start(1, "--head", "--listen", network.addressOf(1));
  const token = /token file\s+(\S+)/.exec(stdout)?.[1] ?? "";
  for (let host = 2; host <= nodes + 1; host += 1) {
    const join = ["--address", `${network.addressOf(1)}:6380`, "--token-file", token];
    await start(host, ...join, "--resources", `{"host${host}": 1}`);
  }
  const args = [DRIVER, String(nodes), String(mib * MIB), String(rounds)];
  return network.run(1, process.execPath, args, environment(1), RUN_TIMEOUT_MS);
}

async function ray(network: Namespaces, { nodes, mib, rounds }: Plan): Promise<Ran> {
  const python = rayPython();
  const program = python.replace(/python[\d.]*$/, "ray");
  const environment = { ...process.env, RAY_DISABLE_IMPORT_WARNING: "1", RAY_USAGE_STATS_ENABLED: "0" };
  const start = async (host: number, ...args: readonly string[]): Promise<Ran> => {
    const common = ["--node-ip-address", network.addressOf(host), "--num-cpus", "1"];
    common.push("--object-store-memory", String(Math.max(3 * mib * MIB, RAY_STORE_LEAST)));
    return checked(await network.run(host, program, ["start", ...args, ...common], environment, START_TIMEOUT_MS));
  };
  await start(1, "--head", "--port", "6379", "--include-dashboard", "false", "--temp-dir", network.folderOf(1));
  for (let host = 2; host <= nodes + 1; host += 1) {
    await start(host, "--address", `${network.addressOf(1)}:6379`, "--resources", `{"host${host}": 1}`);
  }
  const args = [RAY_DRIVER, `${network.addressOf(1)}:6379`, String(nodes), String(mib * MIB), String(rounds)];
  return network.run(1, python, args, environment, RUN_TIMEOUT_MS);
}

function checked(ran: Ran): Ran {
  if (ran.code !== 0) throw new Error(`a node did not start: ${ran.stderr.trim().split("\n").at(-1)}`);
  return ran;
}

async function compare(plan: Plan, sides: readonly Side[]): Promise<void> {
  const one = (plan.mib * MIB * 8) / (plan.mbit * 1e6);
  const figures: string[] = [];
  for (const side of sides) {
    try {
      const seconds = median(await measure(side, plan));
      figures.push(`${side} ${shown(seconds)} s (${shown(seconds / one)} × one copy)`);
    } catch (error) {
      figures.push(`${side}: ${(error as Error).message}`);
    }
  }
  console.log(`${plan.mib} MiB to ${plan.nodes} nodes at ${plan.mbit} Mbit/s, one copy ${shown(one)} s: ${figures.join(", ")}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      nodes: { type: "string", default: "4,8" }, mib: { type: "string", default: "256" },
      mbit: { type: "string", default: "1000" }, rounds: { type: "string", default: "3" },
      full: { type: "boolean", default: false }, "no-ray": { type: "boolean", default: false },
    },
  });
  const mib = values.full ? 1024 : Number(values.mib);
  console.log(`${cpus()[0].model}, ${cpus().length} cores, ${process.version}`);
  for (const nodes of values.nodes.split(",").map(Number)) {
    const plan = { nodes, mib, mbit: Number(values.mbit), rounds: Number(values.rounds) };
    await compare(plan, values["no-ray"] ? ["troupe"] : ["troupe", "ray"]);
  }
}

await main();
