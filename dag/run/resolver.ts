// From nodes to inputs: where in a run each value is, as seen from a place.

import { type Coords, keyOf, sharedDepth } from "../engine/plan.ts";
import type { RunMachine } from "../engine/run-machine.ts";
import type { Draft, Expansion } from "../graph/draft.ts";
import { Node, replaceNodes, type Source } from "../graph/node.ts";
import { isPlain } from "../graph/structure.ts";
import { Element, elementOf, Held, Mapped, OfSet, Zipped } from "./inputs.ts";

/** Who reads, and where: the gates around it and their coordinates. */
export interface Viewpoint {
  readonly scope: readonly Draft[];
  readonly coords: Coords;
}

export class Resolver {
  readonly #machine: RunMachine;
  readonly #params: Readonly<Record<string, unknown>>;
  /** Handles of results, by place. */
  readonly #results: ReadonlyMap<string, unknown>;
  /** Lengths of the lists that an expansion is the product of, by place. */
  readonly #sizes: ReadonlyMap<string, readonly number[]>;
  /** What tasks are expanded over, by place: each instance takes its element of the same list. */
  readonly #lists = new Map<string, unknown>();
  #life = 0;

  constructor(
    machine: RunMachine, params: Readonly<Record<string, unknown>>, results: ReadonlyMap<string, unknown>,
    sizes: ReadonlyMap<string, readonly number[]>,
  ) {
    this.#machine = machine;
    this.#params = params;
    this.#results = results;
    this.#sizes = sizes;
  }

  /** The structure with inputs instead of nodes. */
  inputs(value: unknown, from: Viewpoint): unknown {
    return replaceNodes(value, (node) => this.#node(node, from));
  }

  /** The arguments of an instance. */
  args(draft: Draft, coords: Coords): unknown[] {
    const { expansion } = draft;
    const own = expansion !== undefined && draft.kind !== "gate";
    const from = { scope: draft.scope, coords: own ? coords.slice(0, -1) : coords };
    if (own && expansion.kind === "sets") return this.#argsOfSet(draft, expansion, from, coords.at(-1) ?? 0);
    return draft.args.map(({ name, value }) => (
      name === undefined ? this.inputs(value, from) : this.#element(draft, name, from, coords.at(-1) ?? 0)
    ));
  }

  #argsOfSet(
    { args, place, id }: Draft, { list, rest }: Expansion & { kind: "sets" }, from: Viewpoint, index: number,
  ): unknown[] {
    const set = elementOf(this.#list(place, "", list, from), index);
    const names = args.map(({ name }) => name as string);
    const given = rest.map((value) => this.inputs(value, from));
    return names.map((name) => new OfSet({ set, name, names, rest: given, what: `task ${id}` }));
  }

  /** What a task or group is expanded over. */
  lists(expansion: Expansion, from: Viewpoint): unknown[] {
    const lists = expansion.kind === "product" ? Object.values(expansion.lists) : [expansion.list];
    return lists.map((list) => this.inputs(list, from));
  }

  #node({ source }: Node<unknown>, from: Viewpoint): unknown {
    switch (source.kind) {
      case "param": return this.#params[source.name];
      case "task": return this.#resultOf(source.task, from);
      case "states": return this.#states(source.task, from);
      case "item": {
        const depth = from.scope.indexOf(source.gate);
        const coords = from.coords.slice(0, depth);
        return this.#element(source.gate, source.name, { scope: source.gate.scope, coords }, from.coords[depth]);
      }
      case "index": return from.coords[from.scope.indexOf(source.gate)];
      case "previous": return this.#previous(source.gate, from);
      case "last": return this.#last(source.gate, source.inner, from);
      case "map": return new Mapped(this.inputs(source.list, from), source.fn, source.isElement !== true);
      case "argument": return this.#argument(source, from);
      case "zip": return new Zipped(source.lists.map((list) => this.inputs(list, from)), source.fill);
    }
  }

  #argument({ set, rest, name, names, what }: Source & { kind: "argument" }, from: Viewpoint): unknown {
    return new OfSet({ set: this.inputs(set, from), name, names, rest: rest.map((value) => this.inputs(value, from)), what });
  }

  #element(draft: Draft, name: string | undefined, from: Viewpoint, index: number): unknown {
    const expansion = draft.expansion as Expansion;
    if (expansion.kind === "sets") {
      const set = elementOf(this.#list(draft.place, "", expansion.list, from), index);
      if (name === undefined) return set;
      if (typeof set !== "object" || set === null) return undefined;
      return isPlain(set) ? (set as Record<string, unknown>)[name] : new Element(set, name);
    }
    if (name === undefined) return undefined;
    const names = Object.keys(expansion.lists);
    const sizes = this.#sizes.get(keyOf(draft.place, from.coords)) ?? [];
    const place = names.indexOf(name);
    if (place < 0) return undefined;
    // The last list changes fastest.
    let rest = index;
    for (let i = names.length - 1; i > place; i -= 1) rest = Math.floor(rest / sizes[i]);
    return elementOf(this.#list(draft.place, name, expansion.lists[name], from), rest % sizes[place]);
  }

  #list(task: number, name: string, list: unknown, from: Viewpoint): unknown {
    if (this.#life !== this.#machine.life) this.#lists.clear();
    this.#life = this.#machine.life;
    const key = `${keyOf(task, from.coords)} ${name}`;
    if (!this.#lists.has(key)) this.#lists.set(key, this.inputs(list, from));
    return this.#lists.get(key);
  }

  /** One result, or lists of them where the task lies behind gates that the reader does not. */
  #resultOf(task: Draft, from: Viewpoint): unknown {
    return this.#below(task, from.coords.slice(0, sharedDepth(task, from)), (coords) => this.#held(task, coords), true);
  }

  #states(task: Draft, from: Viewpoint): unknown {
    const stateAt = (coords: Coords): unknown => {
      const instance = this.#machine.instance(task.place, coords);
      const state = instance?.state ?? this.#machine.slot(task.place, coords)?.state ?? "none";
      return { state, value: this.#held(task, coords) };
    };
    return this.#below(task, from.coords.slice(0, sharedDepth(task, from)), stateAt, false);
  }

  /** `onlySuccess`: of a list only what succeeded. */
  #below(task: Draft, coords: Coords, read: (coords: Coords) => unknown, onlySuccess: boolean): unknown {
    const gate = task.scope[coords.length];
    if (gate !== undefined) {
      const size = this.#machine.sizeOf(gate.place, coords);
      if (size === undefined) return gate.kind === "loop" ? undefined : [];
      if (gate.kind === "loop") return this.#below(task, [...coords, size - 1], read, onlySuccess);
      const parts = Array.from({ length: size }, (_, i) => [...coords, i]);
      const wanted = onlySuccess ? parts.filter((part) => this.#hasResult(task, part)) : parts;
      return wanted.map((part) => this.#below(task, part, read, onlySuccess));
    }
    if (task.expansion === undefined || task.kind === "gate") return read(coords);
    const slot = this.#machine.slot(task.place, coords);
    const wanted = (slot?.instances ?? []).filter(({ state }) => !onlySuccess || state === "success");
    return wanted.map((instance) => read(instance.coords));
  }

  #hasResult(task: Draft, coords: Coords): boolean {
    if (task.scope.length > coords.length || task.expansion !== undefined) return true;
    if (task.kind === "loop") return this.#machine.slot(task.place, coords)?.state === "success";
    return this.#machine.instance(task.place, coords)?.state === "success";
  }

  #held(task: Draft, coords: Coords): unknown {
    const key = keyOf(task.place, coords);
    const ended = this.#machine.instance(task.place, coords)?.state === "success";
    return ended && this.#results.has(key) ? new Held(this.#results.get(key)) : undefined;
  }

  #previous(gate: Draft, from: Viewpoint): unknown {
    const depth = from.scope.indexOf(gate);
    const round = from.coords[depth];
    const coords = from.coords.slice(0, depth);
    const { valueNode, initial } = gate.loop!;
    if (round === 0) return this.inputs(initial, { scope: gate.scope, coords });
    return this.inputs(valueNode, { scope: [...gate.scope, gate], coords: [...coords, round - 1] });
  }

  #last(gate: Draft, inner: Node<unknown>, from: Viewpoint): unknown {
    const lastAt = (coords: Coords): unknown => {
      const rounds = this.#machine.sizeOf(gate.place, coords);
      if (rounds === undefined || this.#machine.slot(gate.place, coords)?.state !== "success") return undefined;
      return this.inputs(inner, { scope: [...gate.scope, gate], coords: [...coords, rounds - 1] });
    };
    return this.#below(gate, from.coords.slice(0, sharedDepth(gate, from)), lastAt, true);
  }
}
