// Which job's bytes lie in the pages of a store, so that no job is shown what another has left there.
//
// Pure. Most of what is granted is written whole before anybody can look, and is only noted; pages that a program is to see as
// they are have to be emptied first, when they were anybody else's.

import { PAGE } from "./layout.ts";

/** Of the agent, which copies and restores objects of any job. */
export const ANY_TENANT = 1;
const NOBODY = 0;

export class PageTenants {
  readonly #tenants: Int32Array;

  constructor(capacity: number) {
    this.#tenants = new Int32Array(Math.ceil(capacity / PAGE));
  }

  /** From now on they are this one's. Pages that are not in the memory are nobody's. */
  take(firstPage: number, pages: number, tenant: number): void {
    this.#tenants.fill(tenant, firstPage, firstPage + pages);
  }

  /** Nobody else has written there. */
  isOwn(firstPage: number, pages: number, tenant: number): boolean {
    const isStrange = (one: number) => one !== NOBODY && one !== tenant;
    return !this.#tenants.subarray(firstPage, firstPage + pages).some(isStrange);
  }
}
