// Names of files in shipped code: the maker's for the copies that a worker has.
//
// Code names files by the URLs of the process that made its environment, wherever it is: those below the environment's origin
// are the packed folder's, and packages are where npm put them. So code that travels on is the same code.

import { existsSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { FileNames } from "../closure/index.ts";

/** What a worker knows of the files of its environment. */
export interface EnvironmentFiles {
  /** URL, with a slash at its end, of the folder that the environment was made in. */
  readonly origin: string;
  /** The unpacked folder, where the worker runs. */
  readonly folder?: string | undefined;
  /** Folder whose node_modules holds the packages. */
  readonly packages?: string | undefined;
}

const MODULES = "/node_modules/";
/** Below the packages: texts of files that are not in the unpacked folder, by their whole path. */
const TEXTS = "texts";

export function fileNames({ origin, folder, packages }: EnvironmentFiles): FileNames {
  const copy = folder === undefined ? undefined : folderUrl(folder);
  const installed = packages === undefined ? undefined : folderUrl(packages);
  const texts = installed === undefined ? undefined : `${installed}${TEXTS}`;
  const copied = (url: string) => moved(url, origin, copy);
  const here = (url: string) => {
    if (!url.startsWith("file:")) return url;
    const inCopy = copied(url);
    if (isThere(inCopy)) return inCopy;
    const inPackages = installed !== undefined && url.includes(MODULES)
      ? installed.slice(0, -1) + url.slice(url.indexOf(MODULES)) : undefined;
    return isThere(inPackages) ? inPackages : (inCopy ?? url);
  };
  return {
    here,
    importer(url, packageName) {
      const inCopy = copied(url);
      const hasPackage = packages !== undefined && existsSync(join(packages, "node_modules", packageName));
      return inCopy ?? (hasPackage ? `${installed}index.js` : url);
    },
    text(url) {
      const isOwn = url.startsWith("file:") && copied(url) === undefined;
      return isOwn && texts !== undefined ? moved(url, "file://", texts) as string : here(url);
    },
    origin(url) {
      return moved(url, copy, origin) ?? moved(url, texts, "file://") ?? moved(url, installed, origin) ?? url;
    },
  };
}

/** The same path below another folder; undefined for one that is not below the first. */
function moved(url: string, from: string | undefined, to: string | undefined): string | undefined {
  return from !== undefined && to !== undefined && url.startsWith(from) ? to + url.slice(from.length) : undefined;
}

function isThere(url: string | undefined): url is string {
  return url !== undefined && existsSync(fileURLToPath(url));
}

/** As modules in it are called: by its real path. */
export function folderUrl(path: string): string {
  return pathToFileURL(`${realpathSync(path)}/`).href;
}
