// Packages of an environment: what npm is told, and its run in a process of its own.

import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { InvalidArgumentError, RuntimeEnvSetupError } from "../errors.ts";
import type { Clock, Spawner } from "../seams.ts";
import type { PackageSet } from "./definition.ts";

/** npm has so long for all packages of an environment. */
export const INSTALL_TIMEOUT_MS = 600_000;
/** Last lines of npm that an error tells. */
const SAID_LINES = 40;
/** This package: its workers bring their own, and another copy would be in no cluster. */
const OWN_NAME = "troupe";

/** What the installer's program is told. */
export interface InstallerConfig {
  readonly folder: string;
  readonly npmArgs: readonly string[];
}

/** Installs into the node_modules of a folder, which has nothing else. */
export type Installer = (folder: string, packages: PackageSet) => Promise<void>;

/** Names of packages that can stand alone in node_modules. */
const PACKAGE_NAME = /^(?:@[a-z0-9~][\w.~-]*\/)?[a-z0-9~][\w.~-]*$/i;

/** A set of "name@range" and "name". */
export function packageSet(packages: readonly string[]): PackageSet {
  const dependencies = Object.fromEntries([...packages].sort().map(nameAndRange));
  return { manifest: JSON.stringify({ private: true, dependencies }) };
}

/** What is wrong with a package that is asked for as "name@range"; undefined when npm can be asked. */
export function packageProblem(text: string): string | undefined {
  const [name, range] = nameAndRange(text);
  if (!PACKAGE_NAME.test(name)) return `${JSON.stringify(name)} is no name of a package`;
  if (name === OWN_NAME) return `${OWN_NAME} is there already: workers have their own`;
  return range === "" ? `${name} has an empty version` : undefined;
}

/** The @ of a scope is not the one before the range. */
function nameAndRange(text: string): [name: string, range: string] {
  const at = text.indexOf("@", 1);
  return at < 0 ? [text, "*"] : [text.slice(0, at), text.slice(at + 1)];
}

/** Fields that decide what npm installs. Scripts of the project itself are not among them: they need its sources. */
const MANIFEST_FIELDS = [
  "name", "version", "dependencies", "devDependencies", "optionalDependencies", "peerDependencies", "peerDependenciesMeta",
  "bundleDependencies", "bundledDependencies", "overrides", "engines", "os", "cpu",
];

/**
 * The exact set of a package-lock.json and the package.json beside it.
 *
 * @throws InvalidArgumentError for texts that are none.
 */
export function lockedSet(where: string, manifestText: string, lockText: string): PackageSet {
  const manifest = parsed(`package.json beside ${where}`, manifestText);
  const lock = parsed(where, lockText);
  if (typeof lock.packages !== "object" || lock.packages === null) {
    throw new InvalidArgumentError(`${where} has no list of packages: npm 7 or newer writes one`);
  }
  const packages = lock.packages as Record<string, Record<string, unknown>>;
  withoutOwn(manifest);
  withoutOwn(packages[""] ?? {});
  for (const path of Object.keys(packages)) {
    if (path === `node_modules/${OWN_NAME}` || path.startsWith(`node_modules/${OWN_NAME}/`)) delete packages[path];
  }
  const kept = Object.fromEntries(MANIFEST_FIELDS.filter((field) => field in manifest).map((field) => [field, manifest[field]]));
  return { manifest: JSON.stringify({ ...kept, private: true }), lock: JSON.stringify(lock) };
}

function withoutOwn(manifest: Record<string, unknown>): void {
  for (const field of ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"]) {
    const dependencies = manifest[field] as Record<string, string> | undefined;
    if (dependencies !== undefined) delete dependencies[OWN_NAME];
  }
}

function parsed(what: string, text: string): Record<string, unknown> {
  try {
    const found = JSON.parse(text) as unknown;
    if (typeof found === "object" && found !== null) return found as Record<string, unknown>;
  } catch (error) {
    throw new InvalidArgumentError(`${what} is no JSON`, {}, error);
  }
  throw new InvalidArgumentError(`${what} is no JSON object`);
}

/** Equal for sets that give the same files in this Node on this machine. */
export function packageKey({ manifest, lock }: PackageSet): string {
  const { versions, platform, arch } = process;
  const text = JSON.stringify([manifest, lock, versions.modules, platform, arch]);
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}

export interface NpmParts {
  readonly clock: Clock;
  readonly spawner: Spawner;
  /** Told of the process group, so that it ends with this process whatever happens. */
  readonly started: (pid: number) => void;
  readonly ended: (pid: number) => void;
}

export function npmInstaller(parts: NpmParts): Installer {
  return async (folder, { manifest, lock }) => {
    await mkdir(join(folder, "node_modules"), { recursive: true, mode: 0o700 });
    await writeFile(join(folder, "package.json"), manifest);
    if (lock !== undefined) await writeFile(join(folder, "package-lock.json"), lock);
    const quiet = ["--omit=dev", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error"];
    await runNpm(parts, { folder, npmArgs: lock === undefined ? ["install", "--no-package-lock", ...quiet] : ["ci", ...quiet] });
    await rm(join(folder, "node_modules", OWN_NAME), { recursive: true, force: true });
  };
}

function runNpm({ clock, spawner, started, ended }: NpmParts, config: InstallerConfig): Promise<void> {
  return new Promise((resolve, reject) => {
    const said: string[] = [];
    let late = "";
    const child = spawner.spawn({
      program: "installer",
      config,
      onLine: (_stream, line) => {
        said.push(line);
        if (said.length > SAID_LINES) said.shift();
      },
      onExit: ({ exitCode, signal }) => {
        timer.cancel();
        ended(child.pid);
        if (exitCode === 0) return resolve();
        const how = late || (signal === undefined ? `exit code ${exitCode ?? -1}` : signal);
        const command = `npm ${config.npmArgs[0]}`;
        const remedy = "see that the node reaches the registry and that the names and versions exist there";
        reject(new RuntimeEnvSetupError(`${command} failed (${how}); ${remedy}. Its last lines:\n${said.join("\n")}`));
      },
    });
    if (child.pid > 0) started(child.pid);
    const timer = clock.after(INSTALL_TIMEOUT_MS, () => {
      late = `it did not end within ${INSTALL_TIMEOUT_MS} ms`;
      child.kill();
    });
  });
}
