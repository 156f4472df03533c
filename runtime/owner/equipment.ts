// What a member of a cluster works with beside the seams: its node's store and claim pages, code shipping, the codec, and the
// garbage collector's word that handles are gone. Processes have the system's; the simulator, where all of this must be
// repeatable, has its own.

import { createRequire } from "node:module";
import { performance } from "node:perf_hooks";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { GarbageParts } from "./objects/garbage.ts";
import { liveEntries } from "./objects/live-entries.ts";
import type { ObjectEntry } from "./objects/object-ref.ts";
import { finalizers } from "../finalizers.ts";
import { createShipper, type CodeShipper, type ShipperHooks } from "../closure/index.ts";
import { createCodec, type ValueCodec } from "../serialize/index.ts";
import {
  openClaims, openStore, type ClaimBook, type StoreBroker, type StoreClient, type StoreGrant,
} from "../store/index.ts";

/** Tells, some time after an object was collected, what it was registered with. */
export type Finalizers = <T>(collected: (held: T) => void) => Pick<FinalizationRegistry<T>, "register" | "unregister">;

export interface Equipment {
  readonly openStore: (grant: StoreGrant, broker: StoreBroker) => StoreClient;
  readonly openClaims: (path: string) => ClaimBook | undefined;
  readonly createShipper: (hooks: ShipperHooks) => CodeShipper;
  readonly createCodec: () => ValueCodec;
  readonly finalizers: Finalizers;
  /** Every entry that lives in this process; undefined where nobody can tell. */
  readonly liveEntries: () => ObjectEntry[] | undefined;
  /** Undefined where collections are not up to the process. */
  readonly garbage: Pick<GarbageParts, "collect" | "busyMs" | "heapBytes"> | undefined;
  /** The whole cluster is in this process: there are no others, no threads, and no environments of their own. */
  readonly oneProcess: boolean;
}

export const systemEquipment: Equipment = {
  openStore,
  openClaims,
  createShipper,
  createCodec,
  finalizers,
  liveEntries,
  garbage: {
    collect: collectGarbage, busyMs, heapBytes: () => getHeapStatistics().used_heap_size,
  },
  oneProcess: false,
};

let isThread: boolean | undefined;

/** Where others have the CPUs a loop seems busy while it waits for one; but a thread has only its loop's word. */
function busyMs(): number {
  isThread ??= !(createRequire(import.meta.url)("node:worker_threads") as typeof import("node:worker_threads")).isMainThread;
  if (isThread) return performance.eventLoopUtilization().active;
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

let gc: (() => void) | undefined;

/** V8 gives its collector to contexts that are made while the flag is set. */
function collectGarbage(): void {
  if (gc === undefined) {
    setFlagsFromString("--expose-gc");
    gc = runInNewContext("gc") as () => void;
  }
  gc();
}
