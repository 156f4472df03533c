// How the code of functions and classes gets from the process that captured it to those that run it.
//
// Code is named by its content hash everywhere, and its bytes go one way only: the exporter gives them to its agent, which has
// the head keep them for the job, and who needs them asks its own agent. A call may name code that is still on its way: who
// asks for it too early waits, and its owner's end ends the call anyway. A value that names code (a result, a put) is held
// back until the head has the code, so that from then on nothing depends on the exporter's life.

import { contentHash, type CapturedCode, type CaptureOptions, type CodeShipper, type DataHook } from "../closure/index.ts";
import { Gate, once, Recent } from "../core/index.ts";
import { CodeStoreFullError, CodeUnavailableError, failureOf, HeadUnavailableError, ObjectLostError } from "../errors.ts";
import { INLINE_LIMIT_BYTES, type WritableObject } from "../store/index.ts";
import type { AnswerOf, Code, Draft, ExportCode, FetchCode, Stored } from "../transport/index.ts";
import { warn } from "../warnings.ts";
import type { Home } from "./home.ts";
import type { StoredObjects } from "./objects/stored-objects.ts";

/** Functions that are kept ready to be called; one that is needed again later is fetched again. */
const READY_FUNCTIONS = 1000;
/** Ids of which it is remembered that the head has them; what is forgotten is offered again. */
const PUBLISHED_IDS = 10_000;
/** Exports under way at once. */
const EXPORTS = 256;
/** The name of data that is fetched by itself. */
const CAPTURED_DATA = "captured data";

/** Small code and data as bytes, large ones where they lie. */
type Content = Uint8Array | Stored;

export interface CodeExchangeParts {
  readonly createShipper: (data: DataHook) => CodeShipper;
  readonly home: Home;
  readonly nodeId: string;
  readonly stored: StoredObjects;
  readonly export: (body: Draft<ExportCode>) => Promise<unknown>;
  readonly fetch: (body: Draft<FetchCode>) => Promise<AnswerOf<"codeItem">>;
}

export class CodeExchange {
  readonly shipper: CodeShipper;
  readonly #parts: CodeExchangeParts;
  readonly #gate = new Gate(EXPORTS);
  readonly #ready = new Recent<string, Function>(READY_FUNCTIONS);
  readonly #reviving = new Map<string, Promise<Function>>();
  readonly #published = new Recent<string, true>(PUBLISHED_IDS);
  readonly #stale = new WeakSet<Function>();
  readonly #publishing = new Map<string, Promise<void>>();
  /** Names of the functions being revived, by the data they need: for messages to people. */
  readonly #wanted = new Map<string, string>();

  constructor(parts: CodeExchangeParts) {
    this.#parts = parts;
    this.shipper = parts.createShipper({ keep: (bytes) => this.#keep(bytes), load: (id) => this.#load(id) });
  }

  // -- out ---------------------------------------------------------------------------------------------------------

  /** Offers code to the cluster, once. */
  publish({ id, label, bytes, needs }: CapturedCode): Code {
    if (!this.#published.has(id)) {
      this.#publish(id, label, needs, () => bytes.length <= INLINE_LIMIT_BYTES ? bytes : this.#store(bytes, false));
    }
    return { id, name: label };
  }

  /** Says so, once, when a captured variable is no longer what workers have. */
  warnIfStale(fn: Function, options: CaptureOptions): void {
    if (this.#stale.has(fn)) return;
    const variable = this.shipper.changed(fn, options);
    if (variable === undefined) return;
    this.#stale.add(fn);
    const { label } = this.shipper.capture(fn, options);
    const text = `${label} uses "${variable}", which has changed since its first .remote() call: workers go on with the ` +
      "value of that time. Pass it as an argument, or make a new remote function from a new function.";
    warn("TROUPE_STALE_CAPTURE", text);
  }

  /** Resolves when whoever is told these ids can fetch them; undefined when that is so already. Rejects when it never will be. */
  unpublished(ids: readonly string[]): Promise<void> | undefined {
    const open = ids.map((id) => this.#publishing.get(id)).filter((one) => one !== undefined);
    return open.length === 0 ? undefined : Promise.all(open).then(() => {});
  }

  // -- in ----------------------------------------------------------------------------------------------------------

  /** The function when it can be called now. */
  ready(id: string): Function | undefined {
    return this.#ready.get(id) ?? this.shipper.known(id);
  }

  /** The function, fetched and revived when it is not here. Rejects with a typed error that names it. */
  revive(code: Code): Promise<Function> {
    const { id } = code;
    const ready = this.ready(id);
    if (ready !== undefined) {
      this.#ready.set(id, ready);
      return Promise.resolve(ready);
    }
    return once(this.#reviving, id, () => this.#revive(code));
  }

  /** All that one value needs, ready at once. */
  async reviveAll(codes: readonly Code[]): Promise<void> {
    this.#ready.reserve(codes.length * 2);
    await Promise.all(codes.map((code) => this.revive(code)));
  }

  // -- inside ------------------------------------------------------------------------------------------------------

  #keep(bytes: Uint8Array): string {
    const id = contentHash(bytes);
    if (!this.#published.has(id) && !this.#publishing.has(id)) {
      const stored = this.#store(bytes, true);
      this.#publish(id, CAPTURED_DATA, [], () => stored);
    }
    return id;
  }

  async #load(id: string): Promise<ArrayBuffer> {
    const { buffer } = await this.#fetch({ id, name: this.#wanted.get(id) ?? CAPTURED_DATA });
    return buffer;
  }

  #publish(id: string, name: string, needs: readonly string[], content: () => Content | Promise<Content>): void {
    if (this.#publishing.has(id)) return;
    const ready = this.unpublished(needs)?.then(content) ?? content();
    if (ready instanceof Promise) ready.catch(ignoreHere);
    // What can leave in this turn does: calls that name it follow it on the same channel.
    const publishing = this.#gate.run(() => this.#export({ id, name, needs }, ready))
      .then(() => this.#published.set(id, true))
      .finally(() => this.#publishing.delete(id));
    publishing.catch(ignoreHere);
    this.#publishing.set(id, publishing);
  }

  async #export(about: { id: string; name: string; needs: readonly string[] }, ready: Content | Promise<Content>): Promise<void> {
    const { export: send } = this.#parts;
    let content: Content;
    try {
      content = ready instanceof Promise ? await ready : ready;
    } catch (error) {
      // Workers that wait for it are told why there is nothing to wait for.
      await send({ ...about, failure: failureOf(error) });
      throw error;
    }
    await send(content instanceof Uint8Array ? { ...about, bytes: content } : { ...about, stored: content });
  }

  /** `changing`: the bytes are the user's, and are read in this turn only. */
  async #store(bytes: Uint8Array, changing: boolean): Promise<Content> {
    const { home, nodeId } = this.#parts;
    const size = bytes.length;
    let target = home.ready ? home.store?.tryCreate(size) : undefined;
    if (target !== undefined) target.bytes.set(bytes);
    else {
      const own = changing ? new Uint8Array(bytes) : bytes;
      await home.joined;
      if (home.far !== undefined) return home.far.write(size, [{ offset: 0, bytes: own }]);
      target = await home.storeHere().create(size);
      await fill(target, own);
    }
    const { slot, generation } = target.seal();
    return { node: nodeId, slot, generation, size, sum: 0 };
  }

  async #revive({ id, name }: Code): Promise<Function> {
    const { bytes, needs } = await this.#fetch({ id, name });
    for (const need of needs) this.#wanted.set(need, name);
    try {
      const fn = await this.shipper.revive(id, bytes);
      this.#ready.set(id, fn);
      return fn;
    } finally {
      for (const need of needs) this.#wanted.delete(need);
    }
  }

  async #fetch(code: Code): Promise<{ bytes: Uint8Array; buffer: ArrayBuffer; needs: readonly string[] }> {
    const { bytes, places, needs } = await this.#parts.fetch(code).catch((error: unknown) => { throw unavailable(code, error); });
    // The head keeps it for this process's job from now on.
    this.#published.set(code.id, true);
    if (bytes.length > 0) return { bytes, buffer: Uint8Array.from(bytes).buffer, needs };
    const buffer = await this.#read(places[0], code);
    return { bytes: new Uint8Array(buffer), buffer, needs };
  }

  async #read(place: Stored | undefined, { id, name }: Code): Promise<ArrayBuffer> {
    try {
      if (place === undefined) throw new ObjectLostError(`item ${id} is gone`);
      return (await this.#parts.stored.open(NOBODYS, place)).buffer();
    } catch (error) {
      const text = `the code of "${name}" captured large data that is not in the store of node ${this.#parts.nodeId}`;
      throw new CodeUnavailableError(text, { codeId: id, functionName: name }, error);
    }
  }
}

async function fill(target: WritableObject, bytes: Uint8Array): Promise<void> {
  try {
    await target.write(0, bytes);
  } catch (error) {
    target.abort();
    throw error;
  }
}

function unavailable({ id, name }: Code, cause: unknown): unknown {
  const isTyped = [CodeUnavailableError, CodeStoreFullError, HeadUnavailableError].some((type) => cause instanceof type);
  if (isTyped) return cause;
  const text = `the code of "${name}" can't be fetched: ${(cause as Error).message}`;
  return new CodeUnavailableError(text, { codeId: id, functionName: name }, cause);
}

/** A failed export is reported where its code is fetched, and by the values that name it. */
function ignoreHere(): void {}

/** The node's own: no owner counts it. */
const NOBODYS = { owner: "", ownerNode: "", object: 0 };
