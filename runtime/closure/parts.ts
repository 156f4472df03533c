// The nodes of a payload as a graph: what each points at, by the names that people have for it.

import { type ObjectBuild, type Payload, type PayloadNode, type Property, RUNTIME_NAME, type Slot } from "./payload.ts";

/** `cell`: a variable that several functions share, which holds its value under `v`. */
export type EdgeKind = "variable" | "cell" | "member" | "part";
export type Edge = readonly [label: string, slot: Slot | undefined, kind: EdgeKind];
/** Slots that a node points at, by what they are called there, and the rest of it as plain data. */
export interface Parts {
  readonly edges: readonly Edge[];
  readonly rest: unknown;
}

/** How names begin that a text got in place of its own. */
const GIVEN = `${RUNTIME_NAME}_`;

export function partsOf(node: PayloadNode): Parts {
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
    case "property": return { rest: node.k, edges: [part("of", node.of), ...keyOf(node.key)] };
    case "module": return { rest: node.url, edges: [part("exports", node.exports)] };
    default: return { rest: node, edges: [] };
  }
}

/** Of a shared variable. */
export function cellValue({ nodes }: Payload, cell: Slot | undefined): Slot | undefined {
  const node = nodes[cell as number];
  return node.k === "object" ? node.props?.[0].value : cell;
}

function part(label: string, slot: Slot | undefined): Edge {
  return [label, slot, "part"];
}

function asMember([name, slot]: readonly [string, Slot]): Edge {
  return [name, slot, "member"];
}

function variables(names: readonly (readonly [string, Slot])[]): Edge[] {
  return names.map(([name, slot]) => {
    if (!name.startsWith(GIVEN)) return [name, slot, "variable"];
    const own = name.slice(GIVEN.length);
    if (own === "meta") return ["import.meta", slot, "variable"];
    return [own, slot, own === "arguments" ? "variable" : "cell"];
  });
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
      return {
        rest: build.as,
        edges: build.entries.flatMap(([key, value]): Edge[] => [part("key", key), [entryName(key), value, "member"]]),
      };
    case "set": return { rest: build.as, edges: build.entries.map((slot) => part("entry", slot)) };
    default: return { rest: build, edges: [] };
  }
}

function entryName(key: Slot): string {
  return typeof key === "number" ? "entry" : String(key[0]);
}
