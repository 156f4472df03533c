// The object store of a node: hosts for agents, clients for everybody, claim pages.

import { isStale, native, whyAbsent } from "../../native/index.ts";
import { InvalidArgumentError, VersionMismatchError } from "../errors.ts";
import { ClaimBook, createClaimBook, openClaimBook } from "./claims.ts";
import { LocalClient, LocalHost } from "./local.ts";
import { SharedClient } from "./shared-client.ts";
import { createSharedStore } from "./shared-host.ts";
import { openSpillFile, type SpillStorage } from "./spill-file.ts";
import type { Overflow, StoreBroker, StoreClient, StoreGrant, StoreHost } from "./store.ts";

export { crc32 } from "./checksum.ts";
export * from "./store.ts";
export { PAGE, pagesOf, SLAB_BYTES, sizeClassOf } from "./layout.ts";
export { ANY_TENANT } from "./page-tenants.ts";
export { RoomQueue } from "./room-queue.ts";
export { BLOCK_BYTES, SpillBook, type SpilledCopy } from "./spill-book.ts";
export type { SpillStorage } from "./spill-file.ts";
export { chooseVictims, oldestUnits, type RoomNeed } from "./victims.ts";
export { CLAIM_SLOTS, ClaimBook, ClaimPage, claimSalt, claimTag } from "./claims.ts";

/** A store of shared memory. @throws InvalidArgumentError without the addon. */
export function createStore({ capacity, overflow }: { capacity: number; overflow?: Overflow | undefined }): StoreHost {
  if (isStale()) throw new VersionMismatchError(whyAbsent() ?? "");
  if (native === undefined) throw new InvalidArgumentError(`a node needs the native addon: ${whyAbsent()}`);
  return createSharedStore(native, capacity, overflow);
}

/** A store of this process alone. */
export function createLocalStore({ capacity }: { capacity: number }): StoreHost {
  return new LocalHost(capacity);
}

/** Where objects of a full store go: a file without a name in that folder. */
export function openSpillStorage(folder: string): Promise<SpillStorage> {
  return openSpillFile(folder, native);
}

export function openStore(grant: StoreGrant, broker: StoreBroker): StoreClient {
  if (grant.path.startsWith("local:")) return new LocalClient(grant, broker);
  if (isStale()) throw new VersionMismatchError(whyAbsent() ?? "");
  if (native === undefined) throw new InvalidArgumentError(`the node's shared memory can't be used here: ${whyAbsent()}`);
  return new SharedClient(native, grant, broker);
}

export function createClaims(): ClaimBook {
  return createClaimBook(native);
}

/** Claim pages of this process alone. */
export function createLocalClaims(): ClaimBook {
  return createClaimBook(undefined);
}

export function openClaims(path: string): ClaimBook | undefined {
  return native === undefined || path === "" ? undefined : openClaimBook(native, path);
}
