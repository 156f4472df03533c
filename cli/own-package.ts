// This very package, as other projects depend on it and find it.

import { existsSync, mkdirSync, readFileSync, realpathSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { RELEASE } from "../runtime/release.ts";

/** Root of the package, from dist/cli. */
const ROOT = realpathSync(fileURLToPath(new URL("../../", import.meta.url)));

/** What a package.json in that folder says to have it: a release where it came from a registry, else its archive or folder. */
export function dependencyFrom(folder: string): string {
  const origin = originOf(dirname(ROOT));
  if (origin !== undefined && /^https?:/.test(origin)) return `^${RELEASE}`;
  const archive = origin?.startsWith("file:") ? join(dirname(dirname(ROOT)), origin.slice("file:".length)) : ROOT;
  return `file:${relative(realpathSync(folder), existsSync(archive) ? archive : ROOT)}`;
}

/** What npm noted when it installed it. */
function originOf(modules: string): string | undefined {
  if (basename(modules) !== "node_modules") return undefined;
  try {
    const { packages } = JSON.parse(readFileSync(join(modules, ".package-lock.json"), "utf8")) as {
      packages: Record<string, { readonly resolved?: string } | undefined>;
    };
    return packages[`node_modules/${basename(ROOT)}`]?.resolved;
  } catch {
    // It was installed by something else.
    return undefined;
  }
}

/** Modules of that folder find it, also before anything is installed there. */
export function linkPackage(folder: string): void {
  try {
    createRequire(join(realpathSync(folder), "package.json")).resolve("troupe/package.json");
  } catch {
    const bin = join(folder, "node_modules", ".bin");
    mkdirSync(bin, { recursive: true });
    symlinkSync(ROOT, join(folder, "node_modules", "troupe"), "dir");
    symlinkSync(join("..", "troupe", "cli", "troupe.js"), join(bin, "troupe"));
  }
}
