import { expect, test } from "vitest";
import { PageTenants } from "../../../runtime/store/page-tenants.ts";
import { ANY_TENANT, PAGE } from "../../../runtime/store/index.ts";

test("pages are one's own when nobody else has had any of them", () => {
  const tenants = new PageTenants(8 * PAGE);
  expect(tenants.isOwn(0, 8, -1)).toBe(true);
  tenants.take(2, 2, -1);
  expect(tenants.isOwn(0, 8, -1)).toBe(true);
  expect(tenants.isOwn(3, 1, -2)).toBe(false);
  expect(tenants.isOwn(4, 4, -2)).toBe(true);
  // What the agent has written there may be anybody's.
  tenants.take(5, 1, ANY_TENANT);
  expect([tenants.isOwn(4, 2, -1), tenants.isOwn(5, 1, -2), tenants.isOwn(6, 2, -1)]).toEqual([false, false, true]);
  tenants.take(0, 8, -2);
  expect(tenants.isOwn(0, 8, -2)).toBe(true);
});

test("pages beyond the memory lie in a file, whose freed parts are empty", () => {
  const tenants = new PageTenants(2 * PAGE);
  tenants.take(10, 4, -1);
  expect(tenants.isOwn(10, 4, -2)).toBe(true);
});
