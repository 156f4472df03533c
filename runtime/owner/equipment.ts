// What a member of a cluster works with beside the seams: its node's store and claim pages, code shipping, the codec, and the
// garbage collector's word that handles are gone. Processes have the system's; the simulator, where all of this must be
// repeatable, has its own.

import { liveEntries } from "./live-entries.ts";
import type { ObjectEntry } from "./object-ref.ts";
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
}

export const systemEquipment: Equipment = {
  openStore,
  openClaims,
  createShipper,
  createCodec,
  finalizers: (collected) => new FinalizationRegistry(collected),
  liveEntries,
};
