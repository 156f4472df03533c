// The object store of a node: hosts for agents, clients for everybody, claim pages.

import { native, whyAbsent } from "../../native/index.ts";
import { InvalidArgumentError } from "../errors.ts";
import { ClaimBook, createClaimBook, openClaimBook } from "./claims.ts";
import { LocalClient, LocalHost } from "./local.ts";
import { SharedClient } from "./shared-client.ts";
import { createSharedStore } from "./shared-host.ts";
import type { StoreBroker, StoreClient, StoreGrant, StoreHost } from "./store.ts";

export * from "./store.ts";
export { CLAIM_SLOTS, ClaimBook, ClaimPage, claimSalt, claimTag } from "./claims.ts";

/** A store of shared memory, or of this process alone when there is no addon. */
export function createStore({ capacity }: { capacity: number }): StoreHost {
  return native === undefined ? new LocalHost(capacity) : createSharedStore(native, capacity);
}

/** A store of this process alone. */
export function createLocalStore({ capacity }: { capacity: number }): StoreHost {
  return new LocalHost(capacity);
}

export function openStore(grant: StoreGrant, broker: StoreBroker): StoreClient {
  if (grant.path.startsWith("local:")) return new LocalClient(grant, broker);
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
