// Whether a function's captured variables are still what they were: two payloads of it, compared from the root.

import { isDeepStrictEqual as isSame } from "node:util";
import { cellValue, partsOf } from "./parts.ts";
import type { Payload, Slot } from "./payload.ts";

/** The variable whose value differs, with the way inside of it: `n`, `config.limit`. */
export function firstChange(before: Payload, now: Payload): string | undefined {
  const seen = new Set<string>();
  const work: [Slot | undefined, Slot | undefined, string][] = [[before.root, now.root, before.label.split(" (")[0]]];
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const [one, other, name] = next;
    if (typeof one !== "number" || typeof other !== "number") {
      if (typeof one !== typeof other || !isSame(one, other)) return name;
      continue;
    }
    const pair = `${one}/${other}`;
    if (seen.has(pair)) continue;
    seen.add(pair);
    const [a, b] = [before.nodes[one], now.nodes[other]];
    if (a.k === "hook" && b.k === "hook") {
      // The new one is the identity alone: what follows it may say more by now.
      if (a.kind !== b.kind || Buffer.compare(a.bytes.subarray(0, b.bytes.length), b.bytes) !== 0) return name;
      continue;
    }
    const [old, fresh] = [partsOf(a), partsOf(b)];
    if (!isSame(old.rest, fresh.rest) || old.edges.length !== fresh.edges.length) return name;
    for (const [at, [label, slot, kind]] of old.edges.entries()) {
      const [otherLabel, otherSlot] = fresh.edges[at];
      if (label !== otherLabel) return name;
      if (kind === "cell") work.push([cellValue(before, slot), cellValue(now, otherSlot), label]);
      else work.push([slot, otherSlot, kind === "variable" ? label : kind === "member" ? `${name}.${label}` : name]);
    }
  }
  return undefined;
}
