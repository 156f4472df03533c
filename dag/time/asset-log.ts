// The events of assets in the order in which they came, numbered, in the cluster's key-value store: whoever serves graphs reads
// there what has come since it read last, in whichever process it was made.

import { kv, type KvChange } from "../../sdk/index.ts";
import type { AssetEvent } from "./assets.ts";

//   dag/event-number             the number of the newest
//   dag/event/<number>           one
//   dag/asset/<name>             the newest of an asset
//   dag/emitted/<run>/<what>     events of tasks that are there: each comes once
const NUMBER = "dag/event-number";
const EVENTS = "dag/event/";
const LAST = "dag/asset/";
const EMITTED = "dag/emitted/";
/** What a graph has heard and not run for yet, and up to which event. */
const WAITS = "dag/waits/";

const TRIES = 200;
const AGAIN_MS = 20;
const DIGITS = 12;
/** Kept for those who have not read them, however long they do not. */
const KEPT_MAX = 10_000;

export interface Waits {
  readonly number: number;
  readonly events: readonly AssetEvent[];
}

export type Numbered = readonly [number: number, event: AssetEvent];

export const lastKey = (asset: string): string => LAST + asset;
export const emittedKey = (runId: string, what = ""): string => `${EMITTED}${runId}/${what}`;
export const waitsKey = (dagId = ""): string => WAITS + dagId;
const eventKey = (number: number): string => EVENTS + String(number).padStart(DIGITS, "0");

export async function newestNumber(): Promise<number> {
  return (await kv.get<number>(NUMBER)) ?? 0;
}

export async function eventsAfter(number: number): Promise<Numbered[]> {
  const found: Numbered[] = [];
  for await (const [key, event] of kv.scan<AssetEvent>(EVENTS, { after: eventKey(number) })) {
    found.push([Number(key.slice(EVENTS.length)), event]);
  }
  return found;
}

/** `emitted`: the key of an event that comes once, however often and wherever it is said. */
export async function logEvent(event: AssetEvent, emitted?: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const newest = await kv.get<number>(NUMBER);
    const number = (newest ?? 0) + 1;
    const once: KvChange[] = emitted === undefined ? [] : [
      { type: "check", key: emitted, value: undefined }, { type: "set", key: emitted, value: number },
    ];
    const isLogged = await kv.batch([
      { type: "check", key: NUMBER, value: newest }, { type: "set", key: NUMBER, value: number }, ...once,
      { type: "set", key: eventKey(number), value: event }, { type: "set", key: lastKey(event.asset), value: event },
    ]);
    if (isLogged || (emitted !== undefined && (await kv.get(emitted)) !== undefined)) return;
    await new Promise((resolve) => setTimeout(resolve, (number % 7) + Math.min(tries, 10) * AGAIN_MS / 10));
  }
  throw new Error(`the event of asset ${event.asset} could not be kept: others come all the while`);
}

/** Forgets events that every graph has heard. */
export async function trimEvents(): Promise<void> {
  const newest = await newestNumber();
  let heard = newest;
  for await (const [, { number }] of kv.scan<Waits>(waitsKey())) heard = Math.min(heard, number);
  const keys: string[] = [];
  for await (const [key] of kv.scan(EVENTS)) {
    if (key > eventKey(Math.max(heard, newest - KEPT_MAX))) break;
    keys.push(key);
  }
  for (let at = 0; at < keys.length; at += DELETED_AT_ONCE) {
    await kv.batch(keys.slice(at, at + DELETED_AT_ONCE).map((key) => ({ type: "delete", key })));
  }
}

const DELETED_AT_ONCE = 1000;
