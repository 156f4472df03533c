// Why a value cannot travel, and the way from the root to it. The way is looked for only when it is needed: encoding pays
// nothing for it.

import { types } from "node:util";
import { SerializationError } from "../errors.ts";

/** Thrown inside the folder; becomes a SerializationError at its door. */
export class Refusal extends Error {
  /** The value that cannot travel, or what holds it. */
  readonly culprit: unknown;
  /** `is a Promise`, `has a private field #n` … */
  readonly reason: string;
  readonly remedy: string;
  /** The way from the culprit on: into what its serializer gave, or to a property. */
  readonly rest: string;

  constructor(culprit: unknown, reason: string, remedy: string, rest = "", cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause });
    this.culprit = culprit;
    this.reason = reason;
    this.remedy = remedy;
    this.rest = rest;
  }
}

export function serializationError(refusal: Refusal, root: unknown, rootName: string): SerializationError {
  const path = `${rootName}${wayTo(root, refusal.culprit) ?? ".<made while it was read>"}${refusal.rest}`;
  return new SerializationError(`${path} ${refusal.reason}: ${refusal.remedy}`, { path }, refusal.cause);
}

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
const KEY_TEXT_MAX = 60;

export function step(key: string | symbol): string {
  if (typeof key === "symbol") return `[${String(key)}]`;
  if (IDENTIFIER.test(key)) return `.${key}`;
  if (/^(?:0|[1-9]\d{0,9})$/.test(key)) return `[${key}]`;
  return `[${textOfKey(key)}]`;
}

function textOfKey(key: unknown): string {
  if (typeof key === "string") return JSON.stringify(key.length > KEY_TEXT_MAX ? `${key.slice(0, KEY_TEXT_MAX)}…` : key);
  if (typeof key === "object" && key !== null) return Array.isArray(key) ? "<array>" : "<object>";
  return typeof key === "function" ? "<function>" : String(key);
}

interface Place {
  readonly value: object;
  readonly from: Place | undefined;
  readonly step: string;
}

/** Depth-first as the encoder goes, without recursion: the first way to the value, or undefined when none is visible. */
export function wayTo(root: unknown, wanted: unknown): string | undefined {
  if (root === wanted) return "";
  if (!isWalkable(root)) return undefined;
  const seen = new Set<object>();
  const stack: Place[] = [{ value: root, from: undefined, step: "" }];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    if (place.value === wanted) return wayOf(place);
    if (seen.has(place.value)) continue;
    seen.add(place.value);
    const children: Place[] = [];
    for (const [childStep, child] of childrenOf(place.value)) {
      if (isWalkable(child)) children.push({ value: child, from: place, step: childStep });
      else if (child === wanted) return wayOf({ value: place.value, from: place, step: childStep });
    }
    for (let i = children.length - 1; i >= 0; i--) stack.push(children[i]);
  }
  return undefined;
}

function isWalkable(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function";
}

const WAY_STEPS_MAX = 60;

function wayOf(place: Place): string {
  const steps: string[] = [];
  for (let at: Place | undefined = place; at !== undefined; at = at.from) steps.push(at.step);
  steps.reverse();
  if (steps.length <= WAY_STEPS_MAX) return steps.join("");
  const half = WAY_STEPS_MAX / 2;
  return `${steps.slice(0, half).join("")}…(${steps.length - WAY_STEPS_MAX} more)…${steps.slice(-half).join("")}`;
}

/** What the encoder would visit; getters are not called again and proxies not asked. */
function* childrenOf(value: object): Iterable<readonly [string, unknown]> {
  if (types.isProxy(value) || typeof value === "function") return;
  if (types.isMap(value)) {
    for (const [key, item] of Map.prototype.entries.call(value)) {
      yield [`.<key ${textOfKey(key)}>`, key];
      yield [`.get(${textOfKey(key)})`, item];
    }
  } else if (types.isSet(value)) {
    let index = 0;
    for (const item of Set.prototype.values.call(value)) yield [`.<item ${index++}>`, item];
  }
  if (ArrayBuffer.isView(value)) yield [".buffer", value.buffer];
  else yield* propertiesOf(value);
}

function* propertiesOf(value: object): Iterable<readonly [string, unknown]> {
  if (Array.isArray(value)) {
    let holes = 0;
    for (let i = 0; i < value.length && holes < 1000; i++) {
      if (value[i] === undefined) holes++;
      else yield [`[${i}]`, value[i]];
    }
    if (holes < 1000) return;
  }
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key);
    if (descriptor !== undefined && "value" in descriptor) yield [step(key), descriptor.value];
  }
}

/** For any thrown thing, also a hostile one. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    return "an error that cannot be read";
  }
}
