// The books of shipped code: held by jobs and detached actors, bounded for each, freed with the last of them.

import { describe, expect, test } from "vitest";
import { CodeBook, type CodeDraft } from "../../../runtime/core/index.ts";

const ITEM = 256;

function code(id: string, bytes = 100, more: Partial<CodeDraft> = {}): CodeDraft {
  return { id, name: `name of ${id}`, bytes: new Uint8Array(bytes), place: undefined, needs: [], ...more };
}

function data(id: string, node: string, slot = 1): CodeDraft {
  return { ...code(id, 0), place: { node, slot, generation: 1, size: 100_000 } };
}

describe("holding", () => {
  test("an item goes with its last holder", () => {
    const book = new CodeBook(10_000);
    expect(book.add("job-1", code("a"))).toBe(true);
    expect(book.add("job-2", code("a"))).toBe(true);
    book.add("job-2", code("b"));
    expect(book.release("job-1").freed).toEqual([]);
    expect(book.find("a")?.name).toBe("name of a");
    expect(book.release("job-2").freed.sort()).toEqual(["a", "b"]);
    expect(book.find("a")).toBeUndefined();
    expect(book.size).toBe(0);
    expect(book.release("job-2").freed).toEqual([]);
  });

  test("who holds code holds the data it needs", () => {
    const book = new CodeBook(10_000);
    book.add("job", data("d", "node-1"));
    book.add("job", code("c", 10, { needs: ["d"] }));
    expect(book.hold("actor", "c")).toBe(true);
    expect(book.release("job").freed).toEqual([]);
    expect(book.find("d")?.places).toHaveLength(1);
    expect(book.release("actor").freed.sort()).toEqual(["c", "d"]);
  });

  test("to hold what is not there is nothing", () => {
    const book = new CodeBook(10_000);
    expect(book.hold("job", "gone")).toBe(true);
    expect(book.bytesOf("job")).toBe(0);
    expect(book.release("job").freed).toEqual([]);
  });
});

describe("the limit of a holder", () => {
  test("counts each item once, with its cost", () => {
    const book = new CodeBook(2 * (ITEM + 100));
    expect(book.add("job", code("a"))).toBe(true);
    expect(book.add("job", code("a"))).toBe(true);
    expect(book.bytesOf("job")).toBe(ITEM + 100);
    expect(book.add("job", code("b"))).toBe(true);
    expect(book.add("job", code("c"))).toBe(false);
    expect(book.find("c")).toBeUndefined();
    // What it has is not taken from it, and others have limits of their own.
    expect(book.add("job", code("a"))).toBe(true);
    expect(book.add("other", code("c"))).toBe(true);
    expect(book.hold("job", "c")).toBe(false);
    expect(book.release("job").freed.sort()).toEqual(["a", "b"]);
    expect(book.bytesOf("job")).toBe(0);
  });

  test("is met by empty functions too", () => {
    const book = new CodeBook(10 * ITEM);
    const taken = Array.from({ length: 20 }, (_, at) => book.add("job", code(`f${at}`, 0)));
    expect(taken.filter(Boolean)).toHaveLength(10);
  });
});

describe("places", () => {
  test("add up, once each, and go with their nodes", () => {
    const book = new CodeBook(10_000);
    book.add("job", data("d", "node-1"));
    book.add("job", data("d", "node-1"));
    book.add("job", data("d", "node-2", 7));
    expect(book.find("d")?.places.map(({ node }) => node)).toEqual(["node-1", "node-2"]);
    book.nodeDied("node-1");
    expect(book.find("d")?.places.map(({ node }) => node)).toEqual(["node-2"]);
    book.nodeDied("node-2");
    expect(book.find("d")?.places).toEqual([]);
    book.add("job", data("d", "node-3"));
    expect(book.find("d")?.places.map(({ node }) => node)).toEqual(["node-3"]);
  });
});
