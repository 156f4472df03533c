// For commands that need more than a question to the cluster: this process is a driver of it while they work. The sdk is loaded
// only then.

import type { ConnectOptions } from "./option-values.ts";

export interface DriverOptions extends ConnectOptions {
  /** Where no node runs on this machine, a private cluster will do. */
  readonly orPrivate?: boolean;
  /** What workers print appears on stderr. */
  readonly logToDriver?: boolean;
}

/** Joins the cluster that the options, the environment or this machine name; leaves it when the work is done. */
export async function asDriver<T>(options: DriverOptions, work: (isPrivate: boolean) => Promise<T>): Promise<T> {
  const { tokenFile, insecureIUnderstand, orPrivate = false, logToDriver = false } = options;
  const { init, NotFoundError, shutdown } = await import("../sdk/index.ts");
  const address = options.address ?? process.env.TROUPE_ADDRESS;
  const trustedNetwork = insecureIUnderstand === true ? true : undefined;
  let isPrivate = false;
  try {
    await init({ address: address ?? "auto", tokenFile, trustedNetwork, logToDriver });
  } catch (error) {
    if (!orPrivate || address !== undefined || !(error instanceof NotFoundError)) throw error;
    await init({ logToDriver });
    isPrivate = true;
  }
  try {
    return await work(isPrivate);
  } finally {
    await shutdown();
  }
}
