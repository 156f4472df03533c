// Whether a function's captured variables are still what they were: two payloads of it, compared from the root.

import { isDeepStrictEqual as isSame } from "node:util";
import type { ObjectBuild, Payload, PayloadNode, Property, Slot } from "./payload.ts";

/** Slots that a node points at, by what they are called there, and the rest of it as plain data. */
interface Parts {
  readonly edges: readonly (readonly [label: string, slot: Slot | undefined, kind: "variable" | "member" | "part"])[];
  readonly rest: unknown;
}

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
      work.push([slot, otherSlot, kind === "variable" ? label : kind === "member" ? `${name}.${label}` : name]);
    }
  }
  return undefined;
}

function partsOf(node: PayloadNode): Parts {
  switch (node.k) {
    case "fn": {
      const { names, props, prototype, proto, ...rest } = node;
      return { rest, edges: [...variables(names), ...members(props), part("prototype", prototype), part("proto", proto)] };
    }
    case "class": {
      const { names, props, shared, privates, keys, parent, ...rest } = node;
      const edges = [...variables(names), ...members(props), ...members(shared), ...privates.map(asMember)];
      return { rest, edges: [...edges, ...keys.map((slot, at) => part(`${at}`, slot)), part("parent", parent)] };
    }
    case "object": {
      const { proto, build, privates = [], props, ...rest } = node;
      const own = privates.flatMap(({ type, values }) => [part("class", type), ...values.map(asMember)]);
      const built = buildParts(build);
      return { rest: [rest, built.rest], edges: [part("proto", proto), ...built.edges, ...own, ...members(props)] };
    }
    case "bound": return { rest: node.k, edges: [node.target, node.self, ...node.args].map((slot, at) => part(`${at}`, slot)) };
    case "member": return { rest: [node.fixed, node.part], edges: [part("class", node.type), ...keyOf(node.key)] };
    case "view": return { rest: [node.type, node.offset, node.length], edges: [part("buffer", node.buffer)] };
    case "reduce": return { rest: node.k, edges: [part("restore", node.restore), part("args", node.args)] };
    case "module": return { rest: node.url, edges: [part("exports", node.exports)] };
    default: return { rest: node, edges: [] };
  }
}

type Edge = Parts["edges"][number];

function part(label: string, slot: Slot | undefined): Edge {
  return [label, slot, "part"];
}

function asMember([name, slot]: readonly [string, Slot]): Edge {
  return [name, slot, "member"];
}

function variables(names: readonly (readonly [string, Slot])[]): Edge[] {
  return names.map(([name, slot]) => [name, slot, "variable"]);
}

/** The node of a symbol key is compared as what the property's name is. */
function keyOf(key: string | number): Edge[] {
  return typeof key === "number" ? [part("symbol", key)] : [part(key, undefined)];
}

function members(props: readonly Property[] = []): Edge[] {
  return props.flatMap(({ key, flags, value, get, set }): Edge[] => {
    const name = typeof key === "string" ? key : "symbol";
    const parts: [string, Slot | undefined, "member"][] = [[name, value, "member"], [name, get, "member"], [name, set, "member"]];
    return [...keyOf(key), part(`${flags}`, undefined), ...parts];
  });
}

function buildParts(build: ObjectBuild | undefined): Parts {
  switch (build?.as) {
    case "map": case "weakmap": case "weakset":
      return { rest: build.as, edges: build.entries.flatMap(([key, value]) => [part("key", key), part("entry", value)]) };
    case "set": return { rest: build.as, edges: build.entries.map((slot) => part("entry", slot)) };
    default: return { rest: build, edges: [] };
  }
}
