// An explanation that this process asks for: it tells its own part itself.

import { type Explanation, explainId, type Told } from "./explanation.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { Session } from "../session.ts";
import { waitRows } from "./wait-rows.ts";

/** `known`: entries that only handles reach. */
export function explainHere(session: Session, id: string, known: readonly ObjectEntry[]): Promise<Explanation> {
  return explainId(id, async (kind, about, process = ""): Promise<Told> => {
    if (kind === "waits" && process === session.parts.identity.processId) {
      return { rows: [...waitRows(session, about, () => known)], missing: [] };
    }
    const { json, missing } = await session.ask("listState", { kind, filters: { id: about }, process }, "stateRows");
    return { rows: JSON.parse(json) as Told["rows"], missing };
  });
}
