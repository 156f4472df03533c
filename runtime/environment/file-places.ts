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

export function fileNames({ origin, folder, packages }: EnvironmentFiles): FileNames {
  const copy = folder === undefined ? undefined : folderUrl(folder);
  const installed = packages === undefined ? undefined : folderUrl(packages);
  const below = (url: string, from: string, to: string) => (url.startsWith(from) ? to + url.slice(from.length) : undefined);
  const isThere = (url: string | undefined): url is string => url !== undefined && existsSync(fileURLToPath(url));
  const inCopy = (url: string) => (copy === undefined ? undefined : below(url, origin, copy));
  const inPackages = (url: string) => {
    const at = url.indexOf(MODULES);
    return at < 0 || installed === undefined ? undefined : installed.slice(0, -1) + url.slice(at);
  };
  return {
    here(url) {
      if (!url.startsWith("file:")) return url;
      const copied = inCopy(url);
      if (isThere(copied)) return copied;
      const packaged = inPackages(url);
      return isThere(packaged) ? packaged : (copied ?? url);
    },
    hereFor(importer, packageName) {
      const copied = inCopy(importer);
      if (copied !== undefined) return copied;
      const hasPackage = packages !== undefined && existsSync(join(packages, "node_modules", packageName));
      return hasPackage ? `${installed}index.js` : importer;
    },
    origin(url) {
      const known = copy === undefined ? undefined : below(url, copy, origin);
      return known ?? (installed === undefined ? undefined : below(url, installed, origin)) ?? url;
    },
  };
}

/** As modules in it are called: by its real path. */
export function folderUrl(path: string): string {
  return pathToFileURL(`${realpathSync(path)}/`).href;
}
