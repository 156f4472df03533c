// Rows as people see them.

import { expect, test } from "vitest";
import { shown, table } from "../../cli/table.ts";

test("what is in a list of records is written out", () => {
  const bundles = [{ resources: { CPU: 1, disk: 2 }, nodeId: "n1" }, { resources: { CPU: 1 }, nodeId: "" }];
  expect(shown(bundles)).toBe("{resources={CPU=1,disk=2},nodeId=n1},{resources={CPU=1},nodeId=}");
  expect(shown({ zone: "a" })).toBe("zone=a");
  expect(shown([])).toBe("-");
  expect(shown(["a", "b"])).toBe("a,b");
});

test("control characters don't reach the terminal", () => {
  expect(shown("a\x1b[2Jb")).toBe("a?[2Jb");
  expect(shown({ "k\n": "\x07" })).toBe("k?=?");
});

test("columns are as wide as what is in them", () => {
  expect(table(["id", "name"], [{ id: "a-long-one", name: "" }])).toBe("ID          NAME\na-long-one  -");
});
