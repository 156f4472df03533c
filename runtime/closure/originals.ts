// Code that needs no copy where its workers are in the program itself: what nobody could tell from one.
//
// A function that holds no state and no variable that its file writes again runs as it stands, so breakpoints, stack traces and
// coverage are those of the program's own source. All other code is made again for each worker, as it is in a process of its own.

import { Recent } from "../core/index.ts";
import { bindingOf } from "./bindings.ts";
import type { Capture } from "./capture.ts";
import type { Draft } from "./drafts.ts";
import type { FunctionNode, ClassNode, PayloadNode, Property, Slot } from "./payload.ts";
import { partsOf } from "./parts.ts";

/** Functions that are made in a loop are forgotten, and made again from their payloads. */
const KEPT = 10_000;

export class Originals {
  readonly #functions = new Recent<string, Function>(KEPT);
  readonly #classes = new Recent<string, Function>(KEPT);

  /** What was captured as `id`. */
  add(id: string, fn: Function, root: Slot, capture: Capture): void {
    const changing = changingNodes(capture);
    const isFixed = (slot: Slot) => typeof slot === "number" && !changing.has(slot);
    if (isFixed(root)) this.#functions.set(id, fn);
    for (const [type, { index }] of capture.classes) {
      const node = capture.nodes[index];
      if (node.k === "class" && isFixed(index)) this.#classes.set(node.track, type);
    }
  }

  find(id: string): Function | undefined {
    return this.#functions.get(id);
  }

  findClass(track: string): Function | undefined {
    return this.#classes.get(track);
  }
}

/** Nodes that hold state, or lead to such. */
function changingNodes(capture: Capture): ReadonlySet<number> {
  const { nodes } = capture;
  const drafts = new Map(capture.drafts.map((draft) => [draft.index, draft]));
  const changing = new Set<number>();
  const leadHere = new Map<number, number[]>();
  for (const [index, node] of nodes.entries()) {
    if (isChanging(capture, node, drafts.get(index))) changing.add(index);
    for (const target of targetsOf(capture, node)) {
      const known = leadHere.get(target);
      if (known === undefined) leadHere.set(target, [index]);
      else known.push(index);
    }
  }
  for (const index of changing) for (const from of leadHere.get(index) ?? []) changing.add(from);
  return changing;
}

function isChanging({ remotes }: Capture, node: PayloadNode, draft: Draft | undefined): boolean {
  switch (node.k) {
    case "fn": return hasState(node.props) || hasVariable(draft);
    case "class": return isClassChanging(node) || hasVariable(draft);
    case "object": return !isFixedObject(node);
    case "reduce": return !remotes.has(node);
    case "global": case "import": case "own": case "symbol": case "meta": case "require": case "vite-import": case "bound":
    case "member": case "property": return false;
    default: return true;
  }
}

function isClassChanging({ props, shared, privates }: ClassNode): boolean {
  return privates.length > 0 || hasState(props) || hasState(shared);
}

/** Frozen, or the members of a module that the code uses. */
function isFixedObject({ build, lock, privates }: PayloadNode & { k: "object" }): boolean {
  if (privates !== undefined) return false;
  return build?.as === "null" || (lock === 3 && (build === undefined || build.as === "array"));
}

/** Properties that are not methods. */
function hasState(props: FunctionNode["props"]): boolean {
  return props?.some(({ value }) => value !== undefined && typeof value !== "number") === true;
}

/** A variable around the code that it, or its file, gives another value some time. */
function hasVariable(draft: Draft | undefined): boolean {
  if (draft === undefined) return true;
  return draft.names.some(({ name, scope, written }) => {
    if (written) return true;
    return scope !== undefined && bindingOf(draft.script, draft.offset, name)?.isConstant !== true;
  });
}

function targetsOf(capture: Capture, node: PayloadNode): number[] {
  const slots = partsOf(node).edges.map(([, slot]) => slot).filter((slot) => typeof slot === "number");
  return capture.remotes.has(node) ? slots.flatMap((slot) => throughData(capture, slot, new Set())) : slots;
}

/** Options of a remote function are its own: nobody writes there. What they lead to counts. */
function throughData({ nodes }: Capture, slot: number, seen: Set<number>): number[] {
  const node = nodes[slot];
  if (node.k !== "object" || seen.has(slot)) return seen.has(slot) ? [] : [slot];
  seen.add(slot);
  const values = (node.props ?? []).map(({ value }: Property) => value).filter((value) => typeof value === "number");
  return values.flatMap((value) => throughData({ nodes } as Capture, value, seen));
}
