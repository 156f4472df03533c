// Random histories of many actors, callers and kills; order and counts are checked from what the actors themselves wrote down.
//
// Every instance appends one line a call to its actor's file. TROUPE_HISTORY=full: 1,000 actors and 200,000 calls, some minutes.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ActorHandle, get, init, kill, type ObjectRef, remote, shutdown } from "troupe";

const FULL = process.env.TROUPE_HISTORY === "full";
const SIZE = FULL
  ? { actors: 1000, calls: 200_000, kills: 400, hostKills: 3, callers: 8 }
  : { actors: 40, calls: 4000, kills: 30, hostKills: 1, callers: 3 };
const SEED = Number(process.env.TROUPE_HISTORY_SEED ?? 7);
const TIMEOUT_MS = FULL ? 900_000 : 60_000;

const folder = mkdtempSync(join(tmpdir(), "history-"));
beforeAll(async () => {
  await init({ numCpus: 2, objectStoreMemory: "256MiB" });
});
afterAll(async () => {
  await shutdown();
  rmSync(folder, { recursive: true, force: true });
});

class Scribe {
  readonly #file: string;
  readonly #life = Math.random().toString(36).slice(2);
  constructor(file: string) {
    this.#file = file;
  }
  async step(caller: string, number: number): Promise<string> {
    const { appendFileSync } = await import("node:fs");
    appendFileSync(this.#file, `${this.#life} ${caller} ${number}\n`);
    if (number % 7 === 0) await new Promise((resolve) => setTimeout(resolve, number % 3));
    return this.#life;
  }
  pid(): number {
    return process.pid;
  }
}

/** What came of one call: the life that answered, or the error's code. */
interface Outcome {
  readonly actor: number;
  readonly caller: string;
  readonly number: number;
  readonly retries: number;
  readonly life: string;
  readonly code: string;
}

/** Makes its calls, to actors and with retries as the seed says, and tells what came of them. */
async function callAll(
  caller: string, handles: readonly ActorHandle<Scribe>[], count: number, seed: number,
): Promise<Outcome[]> {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const late = remote((number: number) => new Promise<number>((resolve) => setTimeout(resolve, 5, number)), { numCpus: 0 });
  const open: Promise<Outcome>[] = [];
  for (let number = 1; number <= count; number += 1) {
    const actor = random(handles.length);
    const retries = [0, 1, 2, -1][random(4)];
    const isLate = number % 100 === 0;
    const argument = (isLate ? late.remote(number) : number) as number;
    const ref: ObjectRef<string> = handles[actor].step.options({ maxTaskRetries: retries }).remote(caller, argument);
    const common = { actor, caller, number, retries };
    open.push(get(ref).then(
      (life) => ({ ...common, life, code: "" }),
      (error: { code: string }) => ({ ...common, life: "", code: error.code }),
    ));
    if (number % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return Promise.all(open);
}

test(`order and counts hold in any history (seed ${SEED})`, async () => {
  const type = remote(Scribe, { isolation: "shared", maxRestarts: -1 });
  const fileOf = (actor: number) => join(folder, `actor-${actor}`);
  const handles = Array.from({ length: SIZE.actors }, (_, actor) => {
    const isolation = actor < 2 ? "process" : actor < 4 ? "thread" : "shared";
    return type.options({ isolation }).remote(fileOf(actor));
  });
  await get(handles.map((handle) => handle.pid.remote()));
  const each = Math.floor(SIZE.calls / SIZE.callers);
  const inTask = remote(callAll, { numCpus: 0 });
  const asked = Array.from({ length: SIZE.callers - 1 }, (_, index) => (
    inTask.remote(`task${index}`, handles as never, each, SEED + index + 1)
  ));
  const own = callAll("main", handles, each, SEED);
  const killing = killSome(handles);
  const outcomes = (await Promise.all([own, ...asked.map((ref) => get(ref))])).flat();
  await killing;
  expect(outcomes).toHaveLength(each * SIZE.callers);
  checkOrder(handles.map((_, actor) => linesOf(fileOf(actor))));
  checkCounts(outcomes, handles.map((_, actor) => linesOf(fileOf(actor))));
}, TIMEOUT_MS);

async function killSome(handles: readonly ActorHandle<Scribe>[]): Promise<void> {
  for (let round = 0; round < SIZE.kills; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    const actor = (round * 31 + SEED) % handles.length;
    await kill(handles[actor], { noRestart: false });
    const isHostKill = round % Math.ceil(SIZE.kills / (SIZE.hostKills + 1)) === 5;
    if (!isHostKill) continue;
    const pid = await get(handles[handles.length - 1].pid.options({ maxTaskRetries: -1 }).remote());
    process.kill(pid, "SIGKILL");
  }
}

type Line = readonly [life: string, caller: string, number: number];
function linesOf(file: string): Line[] {
  let text = "";
  try {
    text = readFileSync(file, "utf8");
  } catch {
    // Nobody called it.
  }
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const [life, caller, number] = line.split(" ");
    return [life, caller, Number(number)];
  });
}

/** In one life of an actor, the calls of a caller ran in the order in which they were made, none twice. */
function checkOrder(histories: readonly Line[][]): void {
  for (const lines of histories) {
    const last = new Map<string, number>();
    for (const [life, caller, number] of lines) {
      const key = `${life} ${caller}`;
      expect(number).toBeGreaterThan(last.get(key) ?? 0);
      last.set(key, number);
    }
  }
}

/** What was answered ran in the life that answered; what did not may run again ran once at most; retries are the limit. */
function checkCounts(outcomes: readonly Outcome[], histories: readonly Line[][]): void {
  const lives = new Map<string, string[]>();
  histories.forEach((lines, actor) => {
    for (const [life, caller, number] of lines) {
      const key = `${actor} ${caller} ${number}`;
      lives.set(key, [...(lives.get(key) ?? []), life]);
    }
  });
  let lost = 0;
  for (const { actor, caller, number, retries, life, code } of outcomes) {
    const ran = lives.get(`${actor} ${caller} ${number}`) ?? [];
    lives.delete(`${actor} ${caller} ${number}`);
    if (code === "") expect(ran.at(-1)).toBe(life);
    else expect(code).toBe("ACTOR_UNAVAILABLE");
    if (retries === -1) expect(code).toBe("");
    else expect(ran.length).toBeLessThanOrEqual(retries + 1);
    if (code !== "") lost += 1;
  }
  // Nothing ran that nobody called; and the kills did hit calls.
  expect([...lives.keys()]).toEqual([]);
  expect(lost).toBeGreaterThan(0);
}
