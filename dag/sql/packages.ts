// The packages that SQL and tables need. They are large and not everybody's, so whoever uses these operators installs them.

import { InvalidArgumentError } from "../../sdk/index.ts";

export type DuckDb = typeof import("@duckdb/node-api");
export type Arrow = typeof import("apache-arrow");

export function loadDuckDb(): Promise<DuckDb> {
  return loaded("@duckdb/node-api", () => import("@duckdb/node-api"));
}

export function loadArrow(): Promise<Arrow> {
  return loaded("apache-arrow", () => import("apache-arrow"));
}

async function loaded<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    throw new InvalidArgumentError(`sql and loadFile need the package ${name}: npm install ${name}`, { cause: error });
  }
}
