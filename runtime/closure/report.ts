// What captured code is made of, for people: each thing once, with the way to it and what it costs. Values are never shown: code
// may hold secrets.

import { serialize } from "node:v8";
import { fileURLToPath } from "node:url";
import { cellValue, partsOf } from "./parts.ts";
import { decodePayload, type Payload, type PayloadNode, type Slot } from "./payload.ts";
import { originalOf } from "./places.ts";
import { propertyStep } from "./refusal.ts";

export interface ReportEntry {
  /** From the function to it: variables, and properties as `.x` or `[0]`. */
  readonly path: readonly string[];
  /** `function`, `class`, `import`, or a kind of data such as `Map`. */
  readonly kind: string;
  /** Where workers import it from, or where it was written. */
  readonly place: string | undefined;
  /** It and what only its path leads to. */
  readonly bytes: number;
}
export interface CaptureReport {
  readonly label: string;
  readonly id: string;
  readonly kind: string;
  readonly place: string | undefined;
  /** All code and data that travels. */
  readonly bytes: number;
  /** What it captures, each followed by what only it leads to. */
  readonly entries: readonly ReportEntry[];
}

interface Found {
  readonly slot: Slot;
  readonly parent: Found | undefined;
  /** Empty for what only leads on to another thing. */
  readonly step: string;
  readonly below: Found[];
  bytes: number;
}

export function reportOf({ id, bytes }: { readonly id: string; readonly bytes: Uint8Array }): CaptureReport {
  const payload = decodePayload(bytes);
  const found = reached(payload);
  for (let at = found.length - 1; at > 0; at--) (found[at].parent as Found).bytes += found[at].bytes;
  const entries: ReportEntry[] = [];
  list(payload, found[0], entries);
  const [{ path: _, ...root }, ...rest] = entries;
  return { ...root, label: payload.label, id, entries: rest };
}

/** Everything that the root leads to, each by the shortest way. */
function reached(payload: Payload): Found[] {
  const { nodes, root } = payload;
  const seen = new Set<Slot>([root]);
  const found: Found[] = [{ slot: root, parent: undefined, step: "", below: [], bytes: sizeOf(nodes[root as number]) }];
  for (const parent of found) {
    if (typeof parent.slot !== "number") continue;
    for (const [label, at, kind] of partsOf(nodes[parent.slot]).edges) {
      const slot = kind === "cell" ? cellValue(payload, at) : at;
      if (slot === undefined || seen.has(slot)) continue;
      const isVariable = kind === "variable" || kind === "cell";
      if (typeof slot === "number") seen.add(slot);
      else if (!isVariable) continue;
      const step = isVariable ? label : kind === "member" ? propertyStep(label) : PARTS.get(label) ?? `[${label}]`;
      const bytes = typeof slot === "number" ? sizeOf(nodes[slot]) : serialize(slot[0]).length;
      const one: Found = { slot, parent, step, below: [], bytes };
      parent.below.push(one);
      found.push(one);
    }
  }
  return found;
}

/** What parts of a node are called in a path. */
const PARTS = new Map([
  ["parent", "extends"], ["class", ".constructor"], ["prototype", ".prototype"], ["proto", "[prototype]"], ["self", "this"],
]);

function sizeOf(node: PayloadNode): number {
  return serialize(node).length + (node.k === "kept" ? node.length : 0);
}

function list(payload: Payload, root: Found, entries: ReportEntry[]): void {
  const work: [Found, readonly string[]][] = [[root, []]];
  for (let next = work.pop(); next !== undefined; next = work.pop()) {
    const [one, way] = next;
    const node = typeof one.slot === "number" ? payload.nodes[one.slot] : undefined;
    const isPassed = node !== undefined && (PASSED.has(node.k) || (node.k === "global" && one.step.startsWith("[")));
    const own = isPassed || one.parent === undefined ? way : [...way, one.step];
    if (!isPassed) entries.push({ path: own, kind: kindOf(payload, one.slot), place: node && placeOf(node), bytes: one.bytes });
    for (const below of [...one.below].reverse()) work.push([below, own]);
  }
}

const PASSED = new Set<PayloadNode["k"]>(["member", "property"]);

function kindOf({ nodes }: Payload, slot: Slot): string {
  if (typeof slot !== "number") return slot[0] === null ? "null" : typeof slot[0];
  const node = nodes[slot];
  switch (node.k) {
    case "fn": return "function";
    case "bound": return "bound function";
    case "own": return "import";
    case "hook": return node.kind === "ref" ? "ObjectRef" : "actor handle";
    case "url": case "view": case "kept": return node.type;
    case "meta": return "import.meta";
    case "data": return tagOf(node.v);
    case "vite-import": return "import()";
    case "reduce": return "value that restores itself";
    case "object": return objectKind(nodes, node);
    default: return node.k;
  }
}

function objectKind(nodes: readonly PayloadNode[], { proto, build }: PayloadNode & { k: "object" }): string {
  const above = typeof proto === "number" ? nodes[proto] : undefined;
  const type = above?.k === "member" ? nodes[above.type] : undefined;
  if (type?.k === "class" || type?.k === "fn") return type.name ?? "Object";
  if (build?.as === "data") return tagOf(build.v);
  if (type?.k === "import") return type.path.at(-1) ?? "Object";
  return above?.k === "global" ? above.path[0] : "Object";
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}

function placeOf(node: PayloadNode): string | undefined {
  switch (node.k) {
    case "fn": case "class": {
      const { position, map } = node;
      const { file, line, column } = (map && originalOf(map, position.line, position.column)) ?? position;
      return `${pathOf(file)}:${line + 1}:${column + 1}`;
    }
    case "import": return [pathOf(node.specifier), ...node.path].join("#");
    case "own": return ["troupe", ...node.path].join("#");
    case "global": return node.path.join(".");
    case "require": case "module": return pathOf(node.url);
    default: return undefined;
  }
}

function pathOf(url: string): string {
  return url.startsWith("file:") ? fileURLToPath(url) : url;
}
