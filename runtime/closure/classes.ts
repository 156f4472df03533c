// A class on its way into the payload: its text without what ran while it was defined, and what that left on it.
//
// Static initialisers never run again: their results are captured. Private fields of instances are restored through code that is
// added to the text where it moves no position: after the last element, and around initialisers.

import { analyze, edited, type Edit } from "./analyze.ts";
import { type Capture, nameOf } from "./capture.ts";
import { codeOf, type Draft, strictnessOf } from "./drafts.ts";
import type { FunctionView, ScriptView } from "./inspector.ts";
import { isStandardGlobal } from "./intrinsics.ts";
import { trackOf } from "./identity.ts";
import { resolveNames } from "./names.ts";
import { lockOf } from "./objects.ts";
import { type ClassNode, type Position, type Property, RUNTIME_NAME, type Slot } from "./payload.ts";
import { memberStep, refusal, type Trail } from "./refusal.ts";
import { outerOf, type Tree } from "./scope.ts";

export interface ClassSource {
  readonly index: number;
  readonly type: Function;
  readonly text: string;
  readonly view: FunctionView;
  readonly script: ScriptView;
  readonly trail: Trail;
  readonly position: Position;
  readonly offset: number;
}
interface Element {
  readonly node: Tree;
  readonly fixed: boolean;
  readonly text: string;
}

export function draftClass(capture: Capture, source: ClassSource): ClassNode {
  const { index, type, text, view, script, trail, position, offset } = source;
  const whole = analyze(text) as NonNullable<ReturnType<typeof analyze>>;
  const at = (place: number): number => place - whole.shift;
  const elements = ((whole.tree.body as Tree).body as Tree[]).map((node): Element => (
    { node, fixed: node.static === true, text: memberText(text.slice(at(node.start), at(node.end)), node.static === true) }
  ));
  const fields = elements.filter(({ node }) => isPrivateField(node))
    .map(({ node, fixed }) => ({ name: privateName(node), fixed }));
  const isPrivate = elements.some(({ node }) => (node.key as Tree | undefined)?.type === "PrivateIdentifier");
  const own = elements.filter(({ node, fixed }) => !fixed && (node.key as Tree | undefined)?.type === "PrivateIdentifier");
  capture.classes.set(type, {
    index, isPrivate: own.length > 0, fields: fields.filter(({ fixed }) => !fixed).map(({ name }) => name),
  });
  const made = membersOf(capture, type, index, elements);
  const stripped = strippedText(text, elements, whole.tree, at, isPrivate, computedKeys(elements, type, trail));
  const analysis = analyze(stripped.text) as NonNullable<ReturnType<typeof analyze>>;
  refuseOutside(analysis, trail);
  const prepared = { original: text, edits: stripped.edits };
  const draft: Draft = {
    index, text: stripped.text, analysis, script, offset, trail, names: [], edits: [], position, prepared,
  };
  capture.drafts.push(draft);
  resolveNames(capture, draft, view.scopes);
  const isDerived = whole.tree.superClass !== null && !isNullHeritage(whole.tree);
  const parent = isDerived ? (Object.getPrototypeOf(type) as object | null) : undefined;
  const props = capture.properties(type, Reflect.ownKeys(type).filter((key) => !FIXED.has(key) && !made.fixed.has(key)), trail);
  const statics = isPrivate && fields.some(({ fixed }) => fixed) ? new Map(capture.parts.inspector().privates(type)) : undefined;
  return {
    ...codeOf(draft, strictnessOf(analysis, script)),
    k: "class",
    track: trackOf(type, text, position),
    name: made.fixed.has("name") ? undefined : nameOf(type),
    ...(parent === undefined ? {} : { parent: capture.slot(parent, memberStep(trail, "prototype")) }),
    keys: stripped.keys.map((key): Slot => capture.slot(key, trail)),
    ...(props.length === 0 ? {} : { props }),
    shared: sharedProperties(capture, type, made.own, trail),
    privates: fields.filter(({ name, fixed }) => fixed && statics?.has(name))
      .map(({ name }) => [name, capture.slot(statics?.get(name), memberStep(trail, name))]),
    ...lockOf(type),
  };
}

/** As `toString` of the member gives it. */
function memberText(text: string, fixed: boolean): string {
  return fixed ? text.replace(/^static\s*/, "") : text;
}

const FIXED = new Set<PropertyKey>(["length", "name", "prototype"]);

function isPrivateField(node: Tree): boolean {
  return node.type === "PropertyDefinition" && (node.key as Tree).type === "PrivateIdentifier";
}

function privateName(node: Tree): string {
  return `#${(node.key as Tree).name as string}`;
}

function isNullHeritage(tree: Tree): boolean {
  const heritage = tree.superClass as (Tree & { value?: unknown }) | null;
  return heritage?.type === "Literal" && heritage.value === null;
}

function refuseOutside(analysis: NonNullable<ReturnType<typeof analyze>>, trail: Trail): void {
  const [name] = analysis.privates;
  if (name !== undefined) {
    throw refusal("CAPTURE_PRIVATE", `it uses the private name #${name} of a class around it`, trail,
      "move the class out of the other one.");
  }
  if (analysis.usesEval) {
    throw refusal("CAPTURE_EVAL", "it calls eval, so the variables it uses can't be known", trail,
      "use (0, eval)(text), or no eval.");
  }
}

function sharedProperties(capture: Capture, type: Function, made: ReadonlySet<PropertyKey>, trail: Trail): Property[] {
  const shared = type.prototype as object;
  const keys = Reflect.ownKeys(shared).filter((key) => key !== "constructor" && !made.has(key));
  return capture.properties(shared, keys, memberStep(trail, "prototype"));
}

/** Keys whose value is still what the text makes; their functions travel as members of the class. */
function membersOf(capture: Capture, type: Function, index: number, elements: readonly Element[]) {
  const made = { fixed: new Set<PropertyKey>(), own: new Set<PropertyKey>() };
  const texts = { fixed: new Set<string>(), own: new Set<string>() };
  for (const { node, fixed, text } of elements) if (node.type === "MethodDefinition") texts[fixed ? "fixed" : "own"].add(text);
  for (const side of ["fixed", "own"] as const) {
    const holder = side === "fixed" ? type : (type.prototype as object);
    for (const key of Reflect.ownKeys(holder)) {
      if (key === "prototype" || key === "constructor") continue;
      const descriptor = Object.getOwnPropertyDescriptor(holder, key) as PropertyDescriptor;
      const parts = (["value", "get", "set"] as const).filter((part) => typeof descriptor[part] === "function");
      const isMade = parts.every((part) => texts[side].has(Function.prototype.toString.call(descriptor[part])));
      if (parts.length === 0 || !isMade) continue;
      made[side].add(key);
      const fixed = side === "fixed";
      for (const part of parts) capture.members.set(descriptor[part] as Function, { type: index, fixed, key, part });
    }
  }
  return made;
}

/**
 * Real keys of elements with computed keys. V8 drops names used only while a class is defined, so keys that read variables are
 * taken from the class itself, in the order of definition.
 */
function computedKeys(elements: readonly Element[], type: Function, trail: Trail): ReadonlyMap<Tree, PropertyKey> {
  const keys = new Map<Tree, PropertyKey>();
  for (const fixed of [false, true]) {
    const mine = elements.filter((one) => one.fixed === fixed);
    const open = mine.filter(({ node }) => node.computed === true && readsVariables(node.key as Tree))
      .filter(({ node }) => !(fixed && isField(node)));
    if (open.length === 0) continue;
    const named = new Set(mine.filter(({ node }) => node.computed !== true && node.key)
      .map(({ node }) => plainKey(node.key as Tree)));
    const holder = fixed ? type : (type.prototype as object);
    const free = Reflect.ownKeys(holder).filter((key) => !named.has(key as string) && !FIXED.has(key) && key !== "constructor" &&
      mine.some(({ text }) => text === textOf(holder, key)));
    const matching = open.map(({ text }) => free.filter((key) => textOf(holder, key) === text));
    for (const [at, { node }] of open.entries()) {
      const [key, second] = matching[at];
      if (key === undefined || second !== undefined) {
        throw refusal("CAPTURE_MISSING_NAME", "it is a class with a computed key that can't be known any more", trail,
          "give the member a fixed name.");
      }
      keys.set(node, key);
    }
  }
  return keys;
}

function isField(node: Tree): boolean {
  return node.type === "PropertyDefinition";
}

function readsVariables(key: Tree): boolean {
  return [...outerOf(key).names.keys()].some((name) => !isStandardGlobal(name) && name !== RUNTIME_NAME);
}

function plainKey(key: Tree): string {
  return String(key.type === "Literal" ? key.value : key.name);
}

function textOf(holder: object, key: PropertyKey): string {
  const descriptor = Object.getOwnPropertyDescriptor(holder, key) as PropertyDescriptor;
  const fn: unknown = descriptor.value ?? descriptor.get ?? descriptor.set;
  return typeof fn === "function" ? Function.prototype.toString.call(fn) : "";
}

function strippedText(
  text: string, elements: readonly Element[], tree: Tree, at: (place: number) => number, isPrivate: boolean,
  computed: ReadonlyMap<Tree, PropertyKey>,
): { text: string; keys: PropertyKey[]; edits: readonly Edit[] } {
  const edits: Edit[] = [];
  const keys: PropertyKey[] = [];
  const blank = (from: number, to: number): string => text.slice(from, to).replace(/[^\n]/g, "");
  const heritage = tree.superClass as Tree | null;
  if (heritage !== null && !isNullHeritage(tree)) {
    const [start, end] = [at(heritage.start), at(heritage.end)];
    edits.push({ start, end, text: `${RUNTIME_NAME}.parent${blank(start, end)}` });
  }
  for (const { node, fixed } of elements) {
    const [start, end] = [at(node.start), at(node.end)];
    const value = node.value as Tree | null;
    if (node.type === "StaticBlock" || (fixed && isField(node) && !isPrivateField(node))) {
      edits.push({ start, end, text: blank(start, end) });
    } else if (isPrivateField(node) && fixed && value !== null) {
      edits.push({ start: at(value.start), end: at(value.end), text: `void 0${blank(at(value.start), at(value.end))}` });
    } else if (isPrivate && isField(node) && value !== null) {
      edits.push({ start: at(value.start), end: at(value.start), text: `${RUNTIME_NAME}.blank?void 0:(` });
      edits.push({ start: at(value.end), end: at(value.end), text: ")" });
    } else if (isPrivate && node.type === "MethodDefinition" && node.kind === "constructor") {
      const body = at(((value as Tree).body as Tree).start) + 1;
      const skip = heritage === null ? "return;" : "{super();return;}";
      edits.push({ start: body, end: body, text: `if(${RUNTIME_NAME}.blank)${skip}` });
    }
    const key = computed.get(node);
    if (key !== undefined) {
      const place = node.key as Tree;
      edits.push({ start: at(place.start), end: at(place.end), text: `${RUNTIME_NAME}.keys[${keys.push(key) - 1}]` });
    }
  }
  const close = text.length - 1;
  const fields = elements.filter(({ node }) => isPrivateField(node)).map(({ node }) => privateName(node));
  if (isPrivate) edits.push({ start: close, end: close, text: setterText([...new Set(fields)]) });
  return { text: edited(text, edits), keys, edits };
}

/** A static block that gives `revive` the way to set private fields of an object. */
function setterText(fields: readonly string[]): string {
  const cases = fields.map((name) => `case"${name}":o.${name}=v;break;`).join("");
  return `;static{${RUNTIME_NAME}.set=(o,n,v)=>{switch(n){${cases}}}}`;
}
