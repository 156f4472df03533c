// Which variables of captured functions are one and the same.
//
// V8 hands out copies of scopes, so that two closures share a variable can't be seen. It follows from the text where a variable
// exists once, or where one function found the other in the very scope that both were made in. That they share none is proven
// when anything in the two copies differs. What is neither is refused if any of them writes the variable.

import { type Binding, bindingOf } from "./bindings.ts";
import type { Draft, DraftName } from "./drafts.ts";
import { refusal } from "./refusal.ts";

interface NameUse {
  readonly draft: Draft;
  readonly name: DraftName;
}

/** Gives names their cells: variables that several drafts have and any of them writes. Throws where that can't be told. */
export function tellShared(drafts: readonly Draft[]): void {
  const shared = sharedNames(drafts);
  if (shared.length === 0) return;
  const scopes = commonScopes(drafts);
  for (const users of shared) {
    for (const { draft, name } of users) {
      const binding = bindingOf(draft.script, draft.offset, name.name);
      if (binding === undefined || name.cell !== undefined) continue;
      const place = `${draft.script.scriptId}|${binding.start}`;
      const group = scopes.get(keyOf(draft, binding));
      if (binding.isSingle) name.cell = `${place}|${name.name}`;
      else if (group !== undefined) name.group = `${place}|${name.name}|${rootOf(group).number}`;
    }
    refuseAlike(users);
    for (const { name } of users) name.cell ??= name.group;
  }
}

/** Names of one script that several drafts have and any of them writes. */
function sharedNames(drafts: readonly Draft[]): NameUse[][] {
  const users = new Map<string, NameUse[]>();
  for (const draft of drafts) {
    for (const name of draft.names) {
      if (name.scope === undefined) continue;
      const key = `${draft.script.scriptId}|${name.name}`;
      const known = users.get(key);
      if (known === undefined) users.set(key, [{ draft, name }]);
      else known.push({ draft, name });
    }
  }
  return [...users.values()].filter((all) => all.length > 1 && all.some(({ name }) => name.written));
}

// -- scopes that are one --------------------------------------------------------------------------------------------

interface Group {
  readonly number: number;
  joined: Group | undefined;
}

function rootOf(group: Group): Group {
  let root = group;
  while (root.joined !== undefined) root = root.joined;
  return root;
}

function keyOf(draft: Draft, { start, end }: Pick<Binding, "start" | "end">): string {
  return `${draft.index}|${start}|${end}`;
}

/**
 * A function that finds another one by the name of its declaration was made in the scope of that declaration, or inside of it:
 * that scope and all around it are the same for both.
 */
function commonScopes(drafts: readonly Draft[]): ReadonlyMap<string, Group> {
  const byIndex = new Map(drafts.map((draft) => [draft.index, draft]));
  const groups = new Map<string, Group>();
  const groupOf = (key: string): Group => {
    let group = groups.get(key);
    if (group === undefined) groups.set(key, group = { number: groups.size, joined: undefined });
    return rootOf(group);
  };
  for (const draft of drafts) {
    for (const { name, slot, scope, cell } of draft.names) {
      const other = typeof slot === "number" && scope !== undefined && cell === undefined ? byIndex.get(slot) : undefined;
      if (other === undefined || other === draft || other.script.scriptId !== draft.script.scriptId) continue;
      const at = bindingOf(draft.script, draft.offset, name);
      if (at?.constantAt === undefined || at.constantAt !== other.offset) continue;
      for (const { name: mine } of draft.names) {
        const binding = bindingOf(draft.script, draft.offset, mine);
        if (binding === undefined || binding.start > at.start || binding.end < at.end) continue;
        const [left, right] = [groupOf(keyOf(draft, binding)), groupOf(keyOf(other, binding))];
        if (left !== right) left.joined = right;
      }
    }
  }
  return groups;
}

// -- what can't be told ---------------------------------------------------------------------------------------------

function refuseAlike(users: readonly NameUse[]): void {
  for (const [at, { draft, name }] of users.entries()) {
    if (name.cell !== undefined) continue;
    const clash = users.slice(0, at).find(({ name: one }) => (
      one.cell === undefined && one.owner === name.owner && (one.group === undefined || one.group !== name.group) &&
        (one.written || name.written) && isAlike(one.scope as object, name.scope as object)
    ));
    if (clash === undefined) continue;
    throw refusal("CAPTURE_SHARED_MUTABLE",
      `it captures the variable "${name.name}" that two of its functions share and one of them changes`,
      { parent: draft.trail, step: name.name, variable: name.name },
      "keep the state in one object that both capture, in a class, or in an actor.");
  }
}

function isAlike(a: object, b: object): boolean {
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  const keys = Object.getOwnPropertyNames(left);
  if (keys.length !== Object.getOwnPropertyNames(right).length) return false;
  return keys.every((key) => key in right && Object.is(left[key], right[key]));
}
