// Brings a clone into the state in which it runs: packages, native addon, compiled TypeScript. Does only what is missing.
//
//   node scripts/setup.mjs            what `npm run demo` needs
//   node scripts/setup.mjs --tests    and what the tests need: tools of the operating system, other releases of Node
//   node scripts/setup.mjs --build    builds the addon and compiles, also when nothing changed
//
// Runs before anything is installed, hence Node's own modules only. What was done is kept as hashes in
// node_modules/.troupe-setup, so removing node_modules forgets all of it. Two runs at once are safe: the second waits.

import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, statSync, writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const at = (...parts) => join(root, ...parts);
const forced = process.argv.includes("--build");
const forTests = process.argv.includes("--tests");

const STAMPS = at("node_modules", ".troupe-setup");
const LOCK = at(".setup", "lock");
const LOCK_WAIT_MS = 15 * 60_000;
const LOCK_STALE_MS = 10_000;
const PROGRESS_MS = 10_000;
const ADDON = at("native", "build", "Release");
const BUILD_INFO = at("dist", ".tsbuildinfo");
/** Folders that tsconfig.json compiles. */
const COMPILED = ["proto", "native", "scheduler", "runtime", "sdk", "dag", "cli", "dashboard", "bench", "examples"];
/** What tests call, and the Debian package that has it. */
const TEST_TOOLS = [["nft", "nftables"], ["ip", "iproute2"]];
/** Node releases that tests run besides the one that is here. */
const TEST_NODES = at("test", "nodes.json");
const NODES = at("node_modules", ".troupe-nodes");

// -- what is there ---------------------------------------------------------------------------------------------------

function hashOf(...parts) {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part).update("\0");
  return hash.digest("hex");
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function filesUnder(folder, extension) {
  if (!existsSync(at(folder))) return [];
  return readdirSync(at(folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" || entry.name === "build" ? [] : filesUnder(path, extension);
    return extension.test(entry.name) ? [path] : [];
  });
}

const lockHash = () => hashOf(readFileSync(at("package-lock.json")), process.version, process.arch);

function addonHash() {
  const sources = filesUnder("native", /\.(c|cc|h|gyp|gypi)$/).sort();
  return hashOf(process.version, process.arch, ...sources.flatMap((path) => [path, readFileSync(at(path))]));
}

function sources() {
  const found = COMPILED.flatMap((folder) => filesUnder(folder, /(?<!\.d)\.ts$/));
  return found.filter((path) => !path.endsWith(".test.ts")).sort();
}

/** Times and sizes, not contents: this runs before every demo and test. */
function sourceHash(paths) {
  const states = [...paths, "tsconfig.json", "package-lock.json"].map((path) => {
    const { size, mtimeMs } = statSync(at(path));
    return `${path} ${size} ${mtimeMs}`;
  });
  return hashOf(...states);
}

const outputOf = (path) => at("dist", path.replace(/\.ts$/, ".js"));

/** Sources outside tsconfig's `include` have no output: only what was compiled once is missed. */
function compiledOnce() {
  return (readJson(STAMPS)?.outputs ?? []).filter((path) => existsSync(at(path)));
}

/** node_modules holds exactly what the lock file says, whoever put it there. */
function packagesMatch() {
  const wanted = readJson(at("package-lock.json"))?.packages ?? {};
  const found = readJson(at("node_modules", ".package-lock.json"))?.packages;
  if (found === undefined) return false;
  const matches = ([path, { version, optional }]) => {
    if (path === "") return true;
    return found[path] === undefined ? optional === true : found[path].version === version;
  };
  return Object.entries(wanted).every(matches) && Object.keys(found).every((path) => wanted[path] !== undefined);
}

const addonThere = () => existsSync(ADDON) && readdirSync(ADDON).some((name) => name.endsWith(".node"));

function missingTools() {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return TEST_TOOLS.filter(([tool]) => !folders.some((folder) => folder !== "" && existsSync(join(folder, tool))));
}

// -- steps: each says whether it is needed, and does it -----------------------------------------------------------------

const packages = {
  needed: (stamps) => stamps.packages !== lockHash(),
  async run() {
    if (!packagesMatch()) {
      const options = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"];
      await command("installing packages", "npm", ["ci", ...options]);
    }
    return { packages: lockHash() };
  },
};

const addon = {
  needed: (stamps) => existsSync(at("native", "binding.gyp")) && (forced || !addonThere() || stamps.addon !== addonHash()),
  async run() {
    const hash = addonHash();
    const gyp = [at("node_modules", "node-gyp", "bin", "node-gyp.js"), "--directory", at("native"), ...headerOption()];
    await command("configuring the native addon", process.execPath, [...gyp, "configure"]);
    await command("building the native addon", process.execPath, [...gyp, "build"]);
    return { addon: hash };
  },
};

/** Headers that came with this Node, if they did: nothing is downloaded then. */
function headerOption() {
  const folder = dirname(dirname(process.execPath));
  for (const base of [folder, "/usr"]) {
    const header = join(base, "include", "node", "node_version.h");
    if (!existsSync(header) || !existsSync(join(base, "include", "node", "node_api.h"))) continue;
    const major = /#define NODE_MAJOR_VERSION (\d+)/.exec(readFileSync(header, "utf8"))?.[1];
    if (major === process.versions.node.split(".")[0]) return [`--nodedir=${base}`];
  }
  return [];
}

const typescript = {
  needed(stamps) {
    const paths = sources();
    if (paths.length === 0) return false;
    return forced || stamps.sources !== sourceHash(paths) || !compiledOnce().every((path) => existsSync(outputOf(path)));
  },
  async run() {
    const paths = sources();
    const hash = sourceHash(paths);
    // The compiler trusts its build info and does not look whether the files are there.
    if (forced || !compiledOnce().every((path) => existsSync(outputOf(path)))) rmSync(BUILD_INFO, { force: true });
    await command("compiling TypeScript", process.execPath, [at("node_modules", "typescript", "bin", "tsc"), "-p", root]);
    removeOrphans(new Set(paths));
    return { sources: hash, outputs: paths.filter((path) => existsSync(outputOf(path))) };
  },
};

/** Outputs whose source is gone would still be found by an import. */
function removeOrphans(paths) {
  for (const output of filesUnder("dist", /\.(js|d\.ts)(\.map)?$/)) {
    const source = output.slice("dist/".length).replace(/\.(js|d\.ts)(\.map)?$/, ".ts");
    if (!paths.has(source)) rmSync(at(output), { force: true });
  }
}

function missingNodes() {
  const platform = `${process.platform}-${process.arch}`;
  return Object.entries(readJson(TEST_NODES) ?? {})
    .map(([major, { version, [platform]: integrity }]) => ({ major, version, integrity, name: `node-${platform}` }))
    .filter(({ integrity, version }) => integrity !== undefined && !existsSync(join(NODES, version, "node")))
    .filter(({ major }) => major !== process.versions.node.split(".")[0]);
}

/** The binary out of the package that has it, in place only when it is the pinned one and complete. */
async function fetchNode({ name, version, integrity }) {
  const folder = join(NODES, `${version}-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  try {
    const pack = ["pack", `${name}@${version}`, "--pack-destination", folder, "--silent", "--no-update-notifier"];
    await command(`fetching Node ${version} for tests`, "npm", pack);
    const archive = join(folder, `${name}-${version}.tgz`);
    const found = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (found !== integrity) throw new Error(`${name}@${version} has integrity ${found}, not the pinned ${integrity}`);
    const binary = "package/bin/node";
    await command(`unpacking Node ${version}`, "tar", ["-xzf", archive, "-C", folder, "--strip-components=2", binary]);
    rmSync(archive);
    renameSync(folder, join(NODES, version));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const nodes = {
  needed: () => forTests && missingNodes().length > 0,
  async run() {
    for (const node of missingNodes()) {
      try {
        await fetchNode(node);
      } catch (error) {
        say(`tests that need Node ${node.version} will say so: ${error.message}`);
      }
    }
    return {};
  },
};

const tools = {
  needed: () => forTests && missingTools().length > 0,
  async run() {
    const missing = missingTools();
    const names = missing.map(([, name]) => name);
    if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
      say(`tests that need ${missing.map(([tool]) => tool).join(", ")} will say so: install ${names.join(" ")}`);
      return {};
    }
    const install = ["install", "-y", "-q", "--no-install-recommends", ...names];
    const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    if (spawnSync("apt-get", install, { env: environment, stdio: "ignore" }).status === 0) {
      say(`installed ${names.join(", ")}`);
      return {};
    }
    await command("updating the list of system packages", "apt-get", ["update", "-q"], environment);
    await command(`installing ${names.join(", ")}`, "apt-get", install, environment);
    return {};
  },
};

// -- running -----------------------------------------------------------------------------------------------------------

function say(text) {
  console.log(`setup: ${text}`);
}

/** One line when it begins, one a while as it goes on, one when it is done; its output only when it fails. */
async function command(what, program, args, env = process.env) {
  const started = performance.now();
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`;
  say(`${what} …`);
  const progress = setInterval(() => say(`${what} … ${seconds()}`), PROGRESS_MS);
  const output = [];
  try {
    await new Promise((resolve, reject) => {
      const child = spawn(program, args, { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
      child.stdout.on("data", (bytes) => output.push(bytes));
      child.stderr.on("data", (bytes) => output.push(bytes));
      child.on("error", reject);
      child.on("close", (code, signal) => {
        if (code === 0) resolve();
        else reject(new Error(`it ended with ${signal ?? `exit code ${code}`}`));
      });
    });
  } catch (error) {
    // Where packages come from is nobody's business but the machine's.
    console.error(Buffer.concat(output).toString().replace(/\b(https?:)?\/\/[^\s/"']+/g, "//…").trimEnd());
    throw new Error(`${what} failed: ${error.message}`);
  } finally {
    clearInterval(progress);
  }
  say(`${what}: done in ${seconds()}`);
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** A folder, since making one is atomic. It holds the pid of its maker. */
function tryLock() {
  mkdirSync(dirname(LOCK), { recursive: true });
  try {
    mkdirSync(LOCK);
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(join(LOCK, "pid"), String(process.pid));
  return true;
}

/** Moves a dead owner's lock away; of several who try, one succeeds. */
function breakLock(owner) {
  const grave = `${LOCK}-${process.pid}`;
  try {
    renameSync(LOCK, grave);
    const buried = readOwner(grave);
    if (buried === owner) rmSync(grave, { recursive: true, force: true });
    // Somebody was faster and has a lock of their own by now: it goes back.
    else renameSync(grave, LOCK);
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

function readOwner(folder) {
  try {
    return Number(readFileSync(join(folder, "pid"), "utf8")) || 0;
  } catch (error) {
    if (error.code === "ENOENT") return 0;
    throw error;
  }
}

async function lock() {
  const until = Date.now() + LOCK_WAIT_MS;
  let told = false;
  while (!tryLock()) {
    const owner = readOwner(LOCK);
    const age = Date.now() - (statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (owner === 0 ? age > LOCK_STALE_MS : !alive(owner)) {
      breakLock(owner);
      continue;
    }
    if (Date.now() > until) throw new Error(`another setup (process ${owner}) has not ended in ${LOCK_WAIT_MS / 60_000} minutes`);
    if (!told) say(`waiting for another setup (process ${owner}) …`);
    told = true;
    await delay(100);
  }
}

function unlock() {
  rmSync(LOCK, { recursive: true, force: true });
  try {
    rmdirSync(dirname(LOCK));
  } catch (error) {
    // Somebody else waits there already.
    if (error.code !== "ENOTEMPTY" && error.code !== "ENOENT") throw error;
  }
}

const steps = [packages, addon, typescript, tools, nodes];
const readStamps = () => readJson(STAMPS) ?? {};

async function main() {
  if (!steps.some((step) => step.needed(readStamps()))) return;
  await lock();
  try {
    for (const step of steps) {
      if (!step.needed(readStamps())) continue;
      const done = await step.run();
      mkdirSync(dirname(STAMPS), { recursive: true });
      // Read again: installing packages begins with an empty node_modules.
      writeFileSync(STAMPS, JSON.stringify({ ...readStamps(), ...done }));
    }
  } finally {
    unlock();
  }
}

try {
  await main();
} catch (error) {
  console.error(`setup: ${error.message}`);
  process.exitCode = 1;
}
