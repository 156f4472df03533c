// Every object entry that lives in this process. Entries that only their handles reach are in no table, so that they cost nothing
// and the collector alone frees them; who lists them asks V8, after a collection.

import { createRequire } from "node:module";
import { ObjectEntry } from "./object-ref.ts";

const BOX = Symbol.for("troupe.live");

/** Takes as long as a full garbage collection. Undefined where there is no inspector. */
export function liveEntries(): ObjectEntry[] | undefined {
  let inspector: typeof import("node:inspector");
  try {
    inspector = createRequire(import.meta.url)("node:inspector") as typeof import("node:inspector");
  } catch {
    return undefined;
  }
  const session = new inspector.Session();
  const box: { entries: ObjectEntry[]; type: typeof ObjectEntry } = { entries: [], type: ObjectEntry };
  Object.defineProperty(globalThis, BOX, { value: box, configurable: true });
  session.connect();
  const post = (method: string, params: object): unknown => {
    let answer: unknown;
    session.post(method, params, (_error: Error | null, result: unknown) => {
      answer = result;
    });
    return answer;
  };
  try {
    const text = `globalThis[Symbol.for("${BOX.description}")].type.prototype`;
    const prototype = post("Runtime.evaluate", { expression: text }) as { result: { objectId: string } };
    const found = post("Runtime.queryObjects", { prototypeObjectId: prototype.result.objectId }) as {
      objects: { objectId: string };
    };
    const take = `function(){globalThis[Symbol.for("${BOX.description}")].entries=Array.from(this)}`;
    post("Runtime.callFunctionOn", { objectId: found.objects.objectId, functionDeclaration: take });
    return box.entries;
  } finally {
    session.disconnect();
    Reflect.deleteProperty(globalThis, BOX);
  }
}
