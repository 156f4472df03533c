// A node's part of the code store: each item crosses to the head once, comes from it once, and large data lies here once.

import { describe, expect, test } from "vitest";
import { CodeStoreFullError, CodeUnavailableError } from "../../../runtime/errors.ts";
import { AgentCode, type AgentCodeParts, CACHE_BYTES } from "../../../runtime/agent/agent-code.ts";
import type { AnswerBody, ExportCode, FetchCode, Stored } from "../../../runtime/transport/index.ts";

const HERE = "node-1";

/** The head and the store of a node, as far as code has to do with them. */
class Surroundings {
  readonly asked: string[] = [];
  readonly items = new Map<string, { bytes: Uint8Array; places: Stored[]; needs: string[] }>();
  readonly adopted: number[] = [];
  readonly freed: number[] = [];
  readonly deadNodes = new Set<string>();
  refuses: Error | undefined;
  #nextSlot = 100;
  readonly code: AgentCode;

  constructor() {
    const ask = async (name: string, body: ExportCode & FetchCode): Promise<unknown> => {
      this.asked.push(`${name} ${body.id}`);
      await new Promise((resolve) => setImmediate(resolve));
      if (this.refuses !== undefined) throw this.refuses;
      if (name === "fetchCode") return this.items.get(body.id);
      const { bytes = new Uint8Array(0), needs = [] } = body;
      const item = this.items.get(body.id) ?? { bytes, places: [], needs: [...needs] };
      if (body.stored !== undefined) item.places.push(body.stored);
      this.items.set(body.id, item);
      return {};
    };
    const objects: AgentCodeParts["objects"] = {
      adopt: ({ slot }) => (this.adopted.push(slot), slot !== 666),
      replicate: async (source) => {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.deadNodes.has(source.node)) throw new Error(`${source.node} is gone`);
        return { ...source, node: HERE, slot: this.#nextSlot++ };
      },
      freeLocal: (slot) => this.freed.push(slot),
    };
    this.code = new AgentCode({ nodeId: HERE, objects, head: () => ({ ask }) as unknown as ReturnType<AgentCodeParts["head"]> });
  }

  export(id: string, more: Partial<ExportCode> = {}): Promise<AnswerBody> {
    const bytes = more.stored === undefined ? Buffer.from(id) : new Uint8Array(0);
    const body = { id, name: id, bytes, stored: undefined, needs: [], holder: "", failure: undefined, ...more };
    return this.code.export(body, "job");
  }

  async fetch(id: string, holder = "job"): Promise<{ bytes: Uint8Array; places: Stored[] }> {
    const answer = await this.code.fetch({ id, name: id, holder: "" }, holder);
    return (answer as unknown as { codeItem: { bytes: Uint8Array; places: Stored[] } }).codeItem;
  }
}

function at(node: string, slot: number): Stored {
  return { node, slot, generation: 1, size: 100_000 };
}

describe("small items", () => {
  test("are exported once, however many do so at once", async () => {
    const node = new Surroundings();
    await Promise.all([node.export("a"), node.export("a"), node.export("a")]);
    await node.export("a");
    expect(node.asked).toEqual(["exportCode a"]);
    expect(Buffer.from((await node.fetch("a")).bytes).toString()).toBe("a");
    expect(node.asked).toHaveLength(1);
  });

  test("are fetched once a node and holder", async () => {
    const node = new Surroundings();
    node.items.set("a", { bytes: Buffer.from("a"), places: [], needs: [] });
    await Promise.all([node.fetch("a"), node.fetch("a")]);
    await node.fetch("a");
    expect(node.asked).toEqual(["fetchCode a"]);
    // The head keeps it for each holder it knows of.
    await node.fetch("a", "other job");
    expect(node.asked).toEqual(["fetchCode a", "fetchCode a"]);
  });

  test("asked for too early do not hold up their export", async () => {
    const node = new Surroundings();
    // This head does not wait: the early question fails.
    const early = expect(node.fetch("a")).rejects.toThrow();
    await node.export("a");
    await early;
    expect(node.asked).toEqual(["fetchCode a", "exportCode a"]);
  });

  test("that go out of the cache are asked for again", async () => {
    const node = new Surroundings();
    const bytes = new Uint8Array(CACHE_BYTES / 4);
    for (const id of ["a", "b", "c", "d", "e"]) await node.export(id, { bytes });
    node.asked.length = 0;
    expect((await node.fetch("e")).bytes).toHaveLength(bytes.length);
    expect((await node.fetch("a")).bytes).toHaveLength(bytes.length);
    expect(node.asked).toEqual(["fetchCode a"]);
  });

  test("that the head refuses are refused, and may be tried again", async () => {
    const node = new Surroundings();
    node.refuses = new CodeStoreFullError("full");
    await expect(node.export("a")).rejects.toThrow("full");
    node.refuses = undefined;
    await node.export("a");
    expect(node.asked).toEqual(["exportCode a", "exportCode a"]);
  });
});

describe("large items", () => {
  test("are the agent's own from their export on; a second copy of the same is freed", async () => {
    const node = new Surroundings();
    await node.export("d", { stored: at(HERE, 1) });
    await node.export("d", { stored: at(HERE, 2) });
    expect(node.adopted).toEqual([1]);
    expect(node.freed).toEqual([2]);
    expect((await node.fetch("d")).places).toEqual([at(HERE, 1)]);
    expect(node.asked).toEqual(["exportCode d"]);
  });

  test("exported twice at once lie here once", async () => {
    const node = new Surroundings();
    await Promise.all([node.export("d", { stored: at(HERE, 1) }), node.export("d", { stored: at(HERE, 2) })]);
    expect(node.freed).toEqual([2]);
  });

  test("are brought from another node once, for all holders, and the head hears of the copy", async () => {
    const node = new Surroundings();
    node.items.set("d", { bytes: new Uint8Array(0), places: [at("node-2", 9)], needs: [] });
    const [one, other] = await Promise.all([node.fetch("d"), node.fetch("d", "other job")]);
    expect(one.places).toEqual([at(HERE, 100)]);
    expect(other.places).toEqual(one.places);
    expect((await node.fetch("d")).places).toEqual(one.places);
    // Both had begun to copy: the second copy is freed.
    expect(node.freed).toEqual([101]);
    expect(node.items.get("d")?.places.some(({ node: where }) => where === HERE)).toBe(true);
  });

  test("are brought from whichever node still has them", async () => {
    const node = new Surroundings();
    node.items.set("d", { bytes: new Uint8Array(0), places: [at("node-2", 9), at("node-3", 4)], needs: [] });
    node.deadNodes.add("node-2");
    expect((await node.fetch("d")).places[0].node).toBe(HERE);
    node.items.set("e", { bytes: new Uint8Array(0), places: [at("node-2", 9)], needs: [] });
    const error = await node.fetch("e").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CodeUnavailableError);
    expect(error).toMatchObject({ functionName: "e", cause: { message: "node-2 is gone" } });
  });

  test("are freed when the head says so, or did not take them", async () => {
    const node = new Surroundings();
    await node.export("d", { stored: at(HERE, 1) });
    node.code.freed(["d", "unknown"]);
    node.code.freed(["d"]);
    expect(node.freed).toEqual([1]);
    node.refuses = new CodeStoreFullError("full");
    await expect(node.export("e", { stored: at(HERE, 2) })).rejects.toThrow("full");
    expect(node.freed).toEqual([1, 2]);
  });

  test("that are gone already are named", async () => {
    const node = new Surroundings();
    await expect(node.export("d", { stored: at(HERE, 666) })).rejects.toThrow('"d" was in the store of node node-1, and is gone');
  });
});
