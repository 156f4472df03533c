// The head's part of the code store: what is asked for too early, refused, lost, and what detached actors keep.

import { describe, expect, test } from "vitest";
import { CodeStoreFullError, CodeUnavailableError, failureOf, NotFoundError } from "../../../runtime/errors.ts";
import { CODE_WAIT_MS, HeadCode } from "../../../runtime/head/head-code.ts";
import type { HeadRecords } from "../../../runtime/head/head-records.ts";
import type { ActorInfo, ActorSpec, ExportCode } from "../../../runtime/transport/index.ts";
import { HandClock } from "../../hand-clock.ts";

function head(limit = 100_000) {
  const clock = new HandClock();
  const alive = new Set(["job"]);
  const freed: string[] = [];
  const records = { lasting: false, all: () => [], keep: () => undefined, change: () => undefined } as unknown as HeadRecords;
  const isAlive = (holder: string) => alive.has(holder);
  const code = new HeadCode({ clock, records, limit, isAlive, freed: (ids) => freed.push(...ids) });
  return { clock, alive, freed, code };
}

function item(id: string, more: Partial<ExportCode> = {}): ExportCode {
  const bytes = Buffer.from(`code of ${id}`);
  return { id, name: `fn ${id}`, bytes, stored: undefined, needs: [], holder: "job", failure: undefined, ...more };
}

const wanted = (id: string, holder = "job") => ({ id, name: `fn ${id}`, holder });
const place = (node: string) => ({ node, slot: 1, generation: 1, size: 70_000 });

describe("fetching", () => {
  test("gives what was exported", async () => {
    const { code } = head();
    code.export(item("a", { needs: ["d"] }));
    const { codeItem } = (await code.fetch(wanted("a"))) as { codeItem: { bytes: Uint8Array; needs: string[] } };
    expect(Buffer.from(codeItem.bytes).toString()).toBe("code of a");
    expect(codeItem.needs).toEqual(["d"]);
  });

  test("waits for what is on its way, and leaves nothing behind", async () => {
    const { code, clock } = head();
    const early = [code.fetch(wanted("a")), code.fetch(wanted("a"))];
    code.export(item("a"));
    await Promise.all(early);
    expect(clock.timers).toEqual([]);
  });

  test("does not wait for ever: the error names the function", async () => {
    const { code, clock } = head();
    const early = code.fetch(wanted("a"));
    clock.advance(CODE_WAIT_MS);
    const error = await early.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(CodeUnavailableError);
    expect(error).toMatchObject({ functionName: "fn a", codeId: "a" });
    expect((error as Error).message).toContain('"fn a" did not reach the head');
    // It may come later all the same.
    code.export(item("a"));
    await code.fetch(wanted("a"));
  });

  test("tells those that wait why there will be nothing", async () => {
    const { code } = head();
    const early = code.fetch(wanted("a"));
    code.export(item("a", { failure: failureOf(new CodeStoreFullError("no room at home")) as ExportCode["failure"] }));
    await expect(early).rejects.toThrow("no room at home");
    await expect(code.fetch(wanted("a"))).rejects.toThrow(CodeStoreFullError);
  });

  test("says so when all copies of large data went with their nodes", async () => {
    const { code } = head();
    code.export(item("d", { bytes: new Uint8Array(0), stored: place("node-1") }));
    code.export(item("d", { bytes: new Uint8Array(0), stored: place("node-2") }));
    code.nodeDied("node-1");
    expect(await code.fetch(wanted("d"))).toMatchObject({ codeItem: { places: [place("node-2")] } });
    code.nodeDied("node-2");
    await expect(code.fetch(wanted("d"))).rejects.toThrow(/"fn d" captured large data, and every node/);
  });
});

describe("holders", () => {
  test("a job that has ended neither gives nor takes", async () => {
    const { code, alive } = head();
    code.export(item("a"));
    alive.delete("job");
    expect(() => code.export(item("b"))).toThrow(NotFoundError);
    await expect(code.fetch(wanted("a"))).rejects.toThrow("which has ended");
  });

  test("what nobody holds any more is freed, and told in pieces", () => {
    const { code, freed } = head(10_000_000);
    for (let at = 0; at < 2500; at += 1) code.export(item(`${at}`));
    code.release("job");
    expect(freed).toHaveLength(2500);
    expect(code.items).toBe(0);
  });

  test("a job over its limit is told, its next code is refused for those that wait", async () => {
    const { code } = head(600);
    code.export(item("a"));
    code.export(item("b"));
    const early = code.fetch(wanted("c"));
    expect(() => code.export(item("c"))).toThrow(/of the 600 bytes a job may ship/);
    await expect(early).rejects.toThrow(CodeStoreFullError);
    await code.fetch(wanted("a"));
  });

  test("a job that fetches another's code keeps it", async () => {
    const { code, alive, freed } = head();
    alive.add("other");
    code.export(item("a"));
    await code.fetch(wanted("a", "other"));
    code.release("job");
    expect(freed).toEqual([]);
    code.release("other");
    expect(freed).toEqual(["a"]);
  });

  test("a detached actor keeps its class, and the code among its arguments, until it is dead", () => {
    const { code, freed } = head();
    for (const id of ["class", "argument", "bound", "else"]) code.export(item(id));
    const spec = {
      detached: true, functionId: "class", codes: [{ id: "argument", name: "" }],
      bound: [{ index: 0, value: { codes: [{ id: "bound", name: "" }] }, owner: "", object: 0 }],
    } as unknown as ActorSpec;
    const info = (state: string) => ({ actor: "actor-1", state }) as ActorInfo;
    code.actorReported(info("PENDING"), spec);
    code.actorReported(info("ALIVE"), undefined);
    code.release("job");
    expect(freed).toEqual(["else"]);
    code.actorReported(info("DEAD"), undefined);
    expect(freed.sort()).toEqual(["argument", "bound", "class", "else"]);
  });
});
