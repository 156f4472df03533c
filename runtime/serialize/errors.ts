// What user code threw, on its way to whoever waits for the result. An error is never lost: what cannot travel of it leaves its
// text, and if nothing of it can, its name, message and stack still do.
//
// The result is the user's error (class, message, own fields, cause) that is a TaskError too: by its codes, which is how
// `instanceof TaskError` decides. Own fields of the user's error win over those of TaskError with the same name.

import { inspect, types } from "node:util";
import { SerializationError, TaskError } from "../errors.ts";
import { bareError, builtinPrototype, setHidden } from "./bare-error.ts";
import { builtinBase } from "./builtins.ts";
import { createCodec } from "./codec.ts";
import type { DecodeHooks, EncodeHooks } from "./contract.ts";
import { UnknownClass } from "./decoder.ts";
import { BUILTIN_ERRORS } from "./format.ts";
import { errorKeys } from "./properties.ts";
import { messageOf } from "./refusal.ts";

export interface ThrownContext {
  readonly taskName: string;
  readonly taskId: string;
  readonly workerPid: number;
  readonly nodeId: string;
}
export interface ReceivedContext {
  /** Stack lines of the call whose result this is (`    at …`). */
  readonly callSite?: string | undefined;
}

/** Errors travel inside messages: a longer text keeps its beginning and end. */
const TEXT_MAX = 64 * 1024;
const FIELD_BYTES_MAX = 256 * 1024;
const CAUSE_DEPTH_MAX = 16;
const ERRORS_MAX = 100;
const CODES = Symbol.for("troupe.error.codes");
const KEPT_TASK_FIELD = "taskName";

/** The record that travels; `body` is a block of its own, so that one that cannot be read costs the rest nothing. */
interface ThrownRecord {
  readonly task: ThrownContext;
  /** error: an error; kept: one that was a TaskError already; value: anything else. */
  readonly kind: "error" | "kept" | "value";
  readonly name: string;
  readonly text: string;
  readonly stack: string;
  readonly body: Uint8Array | null;
}

const codec = createCodec();

export function encodeThrown(thrown: unknown, hooks: EncodeHooks, context: ThrownContext): Uint8Array {
  const isError = isErrorLike(thrown);
  const record: ThrownRecord = {
    task: context,
    kind: !isError ? "value" : isKept(thrown) ? "kept" : "error",
    name: isError ? cut(textAt(thrown, "name", "Error")) : "TaskError",
    text: isError ? cut(textAt(thrown, "message", "")) : cut(textOf(thrown)),
    stack: isError ? cut(textAt(thrown, "stack", "")) : "",
    body: bodyOf(thrown, hooks, isError),
  };
  return codec.encode(record, hooks, "error").toBytes();
}

function bodyOf(thrown: unknown, hooks: EncodeHooks, isError: boolean): Uint8Array | null {
  if (!isError) return fits(thrown, hooks) ?? null;
  const error = thrown as object;
  return fits(new Stand(hooks).of(error, 0), hooks) ?? fits(new Stand(hooks).essence(error), hooks) ?? null;
}

/** Throws SerializationError only when the bytes are not a thrown value at all. */
export function decodeThrown(bytes: Uint8Array, hooks: DecodeHooks, context: ReceivedContext = {}): TaskError {
  const record: unknown = codec.decode(bytes, hooks);
  if (!isRecord(record)) throw new SerializationError("these bytes are not a thrown error", { path: "" });
  const { task, kind, text, name } = record;
  const fields = { taskName: task.taskName, taskId: task.taskId, workerPid: task.workerPid, nodeId: task.nodeId };
  if (kind === "value") {
    const error = new TaskError(text, fields, record.body === null ? undefined : decodeBody(record.body, hooks));
    setHidden(error, "stack", `TaskError: ${text}${origin(task, context)}`);
    return error;
  }
  const error = record.body === null ? undefined : decodeBody(record.body, hooks);
  if (isErrorLike(error)) {
    if (kind === "kept") return error as TaskError;
    const result = guarded(() => branded(error, fields, `${record.stack}${origin(task, context)}`), undefined);
    if (result !== undefined) return result;
  }
  const plain = new TaskError(text, fields);
  setHidden(plain, "name", name);
  setHidden(plain, "stack", `${record.stack}${origin(task, context)}`);
  return plain;
}

function isRecord(value: unknown): value is ThrownRecord {
  if (typeof value !== "object" || value === null) return false;
  const { task, kind, name, text, stack, body } = value as Partial<ThrownRecord>;
  const isTask = typeof task === "object" && task !== null && typeof task.taskName === "string" && typeof task.taskId === "string"
    && typeof task.workerPid === "number" && typeof task.nodeId === "string";
  const isText = typeof kind === "string" && typeof name === "string" && typeof text === "string" && typeof stack === "string";
  return isTask && isText && (body === null || body instanceof Uint8Array);
}

/** Code that is not here must not cost the error: its class falls back to a built-in one. */
function decodeBody(body: Uint8Array, hooks: DecodeHooks): unknown {
  try {
    return codec.decode(body, hooks);
  } catch {
    try {
      return codec.decode(body, lenient(hooks));
    } catch {
      return undefined;
    }
  }
}

function lenient(hooks: DecodeHooks): DecodeHooks {
  return {
    ref: (bytes) => hooks.ref(bytes),
    handle: (bytes) => hooks.handle(bytes),
    code: (id) => guarded(() => hooks.code(id), UnknownClass),
  };
}

function branded(error: object, fields: ThrownContext, stack: string): TaskError {
  const own: unknown = Object.getOwnPropertyDescriptor(error, CODES)?.value;
  const codes = [TaskError.code, ...(Array.isArray(own) ? (own as string[]) : ["TROUPE"])];
  setHidden(error, CODES, codes);
  setHidden(error, "stack", stack);
  for (const [key, value] of Object.entries({ code: TaskError.code, ...fields })) {
    if (!Object.hasOwn(error, key)) {
      Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: true });
    }
  }
  return error as TaskError;
}

function origin(task: ThrownContext, { callSite }: ReceivedContext): string {
  const line = `\n    — remote: task "${task.taskName}", worker ${task.workerPid}, node ${task.nodeId} —`;
  return callSite === undefined || callSite === "" ? line : `${line}\n${callSite}`;
}

// -- reading what may be hostile -------------------------------------------------------------------------------------

function isErrorLike(value: unknown): value is object {
  if (typeof value !== "object" || value === null || types.isProxy(value)) return false;
  return guarded(() => types.isNativeError(value) || value instanceof DOMException || value instanceof Error, false);
}

function isKept(error: object): boolean {
  return guarded(() => error instanceof TaskError && Object.hasOwn(error, KEPT_TASK_FIELD), false);
}

function guarded<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

function textAt(error: object, key: string, otherwise: string): string {
  const value = guarded(() => (error as Record<string, unknown>)[key], undefined);
  return value === undefined ? otherwise : textOf(value);
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  const options = { depth: 2, maxStringLength: TEXT_MAX, customInspect: false };
  return guarded(() => inspect(value, options), "a value that cannot be read");
}

/** Keeps the end too: the frames of a stack come after its message. */
function cut(text: string): string {
  if (text.length <= TEXT_MAX) return text;
  const tail = TEXT_MAX / 4;
  return `${text.slice(0, TEXT_MAX - tail)}… (${text.length} characters, cut) …${text.slice(-tail)}`;
}

/** The value's block if it can travel and is not too large. */
function fits(value: unknown, hooks: EncodeHooks): Uint8Array | undefined {
  try {
    const encoded = codec.encode(value, hooks, "error");
    return encoded.size <= FIELD_BYTES_MAX * 2 ? encoded.toBytes() : undefined;
  } catch {
    return undefined;
  }
}

/** Makes copies of errors that are sure to travel; the originals are only read. */
class Stand {
  readonly #hooks: EncodeHooks;
  readonly #made = new Map<object, object>();

  constructor(hooks: EncodeHooks) {
    this.#hooks = hooks;
  }

  of(error: object, depth: number): object {
    const known = this.#made.get(error);
    if (known !== undefined) return known;
    const copy = this.#bare(error);
    this.#made.set(error, copy);
    for (const key of guarded(() => errorKeys(error), [])) {
      const enumerable = guarded(() => Object.getOwnPropertyDescriptor(error, key)?.enumerable, true);
      const value = this.#field(error, key, depth);
      const name = typeof key === "symbol" && Symbol.keyFor(key) === undefined ? String(key) : key;
      Object.defineProperty(copy, name, { value, writable: true, configurable: true, enumerable });
    }
    return copy;
  }

  /** For an error whose fields are too large together. */
  essence(error: object): object {
    const copy = this.#bare(error);
    for (const key of ["message", "stack"]) guarded(() => setHidden(copy, key, cut(textAt(error, key, ""))), undefined);
    return copy;
  }

  #bare(error: object): object {
    if (guarded(() => error instanceof DOMException, false)) {
      const copy = new DOMException(cut(textAt(error, "message", "")), textAt(error, "name", "Error"));
      setHidden(copy, "stack", "");
      return copy;
    }
    const prototype = guarded(() => Object.getPrototypeOf(error) as object, Error.prototype);
    const copy = bareError(prototype);
    if (fits(copy, this.#hooks) !== undefined) return copy;
    const plain = bareError(builtinPrototype(guarded(() => builtinBase(error), "Error")));
    setHidden(plain, "name", cut(nameOf(error)));
    return plain;
  }

  #field(error: object, key: string | symbol, depth: number): unknown {
    let value: unknown;
    try {
      value = (error as Record<string | symbol, unknown>)[key];
    } catch (reason) {
      return `[getter threw: ${cut(messageOf(reason))}]`;
    }
    return this.#value(value, depth);
  }

  #value(value: unknown, depth: number): unknown {
    if (typeof value === "string") return cut(value);
    if (isErrorLike(value)) return depth < CAUSE_DEPTH_MAX ? this.of(value, depth + 1) : cut(textAt(value, "stack", "an error"));
    if (Array.isArray(value) && !types.isProxy(value) && value.some(isErrorLike)) {
      if (depth >= CAUSE_DEPTH_MAX) return cut(textOf(value));
      return value.slice(0, ERRORS_MAX).map((item) => this.#value(item, depth + 1));
    }
    const bytes = fits(value, this.#hooks);
    return bytes !== undefined && bytes.length <= FIELD_BYTES_MAX ? value : cut(textOf(value));
  }
}

/** The class's name, when the error itself says only what its base says. */
function nameOf(error: object): string {
  const name = textAt(error, "name", "Error");
  const className = guarded(() => error.constructor.name, "");
  return BUILTIN_ERRORS.has(name) && className !== "" ? className : name;
}
