// Expansions over expansions. Inside of a group a second one goes element by element: an instance comes after that instance of
// the first whose result it is given, and after no other. Everywhere else it waits for all of them.
//
// Such expansions lie behind one gate, as what a mapped group has in it does. The gate is the first one's: it has what comes
// before that one, its rule and its lists, and decides whether there is anything, and how often. What reads them from further
// outside has lists, as ever.
//
// Element-wise is what is drawn in one group, at any depth of it, and behind the same gates; of a dag that is called as a node
// only groups of its own count, so that it runs as it does by itself. What has more before it than the one element waits for
// all: a cross product, `zip`, and what also reads, or comes after, all of the list or of another one that goes with it.

import { Builder, type Group } from "./builder.ts";
import type { Draft } from "./draft.ts";
import { Node, nodesIn } from "./node.ts";

export function drawElementWise({ tasks, groups }: Pick<Builder, "tasks" | "groups">): void {
  // Gates are added on the way.
  for (const draft of [...tasks]) {
    const list = listOf(draft);
    const first = list && sourceOf(list);
    if (list === undefined || first === undefined || isSetOrTeardown(draft) || isSetOrTeardown(first)) continue;
    if (!shareGroup(groups.get(draft), groups.get(first)) || readsMore(draft, first)) continue;
    const gate = first.expansion === undefined ? gateBetween(first, draft) : undefined;
    if (gate !== undefined) goBehind(gate, draft, list);
    else if (first.expansion !== undefined && isSame(first.scope, draft.scope)) goBehind(addGate(tasks, first), draft, list);
  }
}

/** What decides whether there is such a task: its gate, when it is the first behind that. */
export function decidesOn(draft: Draft): Draft {
  const gate = draft.scope.at(-1);
  return gate?.leads === draft ? gate : draft;
}

/** The one list that a task is expanded over. */
function listOf({ kind, expansion }: Draft): Node<unknown> | undefined {
  if (kind === "gate" || expansion === undefined) return undefined;
  const lists = expansion.kind === "sets" ? [expansion.list] : Object.values(expansion.lists);
  return lists.length === 1 && lists[0] instanceof Node ? lists[0] : undefined;
}

/** The task whose instances give the elements of a list. */
function sourceOf({ source }: Node<unknown>): Draft | undefined {
  if (source.kind === "map") return source.list instanceof Node ? sourceOf(source.list) : undefined;
  return source.kind === "task" ? source.task : undefined;
}

const isSetOrTeardown = ({ isSetup, teardown }: Draft): boolean => isSetup || teardown !== undefined;

function shareGroup(some: readonly Group[] = [], others: readonly Group[] = []): boolean {
  return own(some).some((group) => own(others).includes(group));
}

function own(groups: readonly Group[]): readonly Group[] {
  return groups.slice(groups.findLastIndex(({ isDag }) => isDag) + 1);
}

const isSame = (some: readonly Draft[], others: readonly Draft[]): boolean => (
  some.length === others.length && some.every((gate, depth) => gate === others[depth])
);

/** The gate that the first lies behind and the second does not. */
function gateBetween({ scope }: Draft, second: Draft): Draft | undefined {
  const gate = scope.at(-1);
  return gate?.kind === "gate" && isSame(scope.slice(0, -1), second.scope) ? gate : undefined;
}

/** Whether it needs more than one element of what is, or would be, behind the gate of the first. */
function readsMore(draft: Draft, first: Draft): boolean {
  const others = [draft.args.map(({ value }) => value), draft.expansion?.kind === "sets" ? draft.expansion.rest : []];
  const read = nodesIn(others).flatMap(({ source }) => (
    "task" in source ? [source.task] : "gate" in source ? [source.gate] : []
  ));
  const before = [...draft.upstream].filter((task) => task !== first);
  const gate = first.expansion === undefined ? first.scope.at(-1) : undefined;
  return [...read, ...before].some((task) => task === first || (gate !== undefined && task.scope.includes(gate)));
}

/** The gate of an expansion that another one goes along with. */
function addGate(tasks: Draft[], first: Draft): Draft {
  const { triggerRule } = first.options;
  const gate: Draft = {
    ...first, place: tasks.length, kind: "gate", fn: undefined, args: [], options: { triggerRule, priority: 0 },
    upstream: first.upstream, downstream: new Set([first]), choices: {}, loop: undefined, trigger: undefined,
    callsOff: false, leads: first,
  };
  tasks.push(gate);
  for (const before of gate.upstream) {
    before.downstream.delete(first);
    before.downstream.add(gate);
  }
  for (const task of tasks) {
    const ways = Object.entries(task.choices);
    if (ways.some(([, way]) => way.includes(first)))
      task.choices = Object.fromEntries(ways.map(([key, way]) => [key, way.map((one) => (one === first ? gate : one))]));
  }
  first.upstream = new Set([gate]);
  putBehind(gate, first, (name) => new Node({ kind: "item", gate, name }));
  return gate;
}

function goBehind(gate: Draft, draft: Draft, list: Node<unknown>): void {
  const element = elementOf(list);
  putBehind(gate, draft, () => element);
}

/** It is there once an element; `element` gives its argument of a name, or the set that has all of them. */
function putBehind(gate: Draft, draft: Draft, element: (name: string | undefined) => Node<unknown>): void {
  const { expansion, args } = draft;
  const sets = expansion?.kind === "sets" ? { set: element(undefined), rest: expansion.rest } : undefined;
  const names = args.flatMap(({ name }) => (name === undefined ? [] : [name]));
  draft.args = args.map((argument) => {
    const { name } = argument;
    if (name === undefined) return argument;
    if (sets === undefined) return { value: element(name) };
    return { value: new Node({ kind: "argument", ...sets, name, names, what: `task ${draft.id}` }) };
  });
  [draft.scope, draft.expansion, draft.isElementWise] = [[...draft.scope, gate], undefined, true];
}

/** From a list to that element of it which belongs to the reader. */
function elementOf(list: Node<unknown>): Node<unknown> {
  const { source } = list;
  if (source.kind !== "map") return list;
  return new Node({ ...source, list: elementOf(source.list as Node<unknown>), isElement: true });
}
