// What the parts of a random program are written with: names in scope, and numeric expressions over them.
//
// A declaration says how it is read: templates of numeric expressions in which `$` stands for any number. So each kind of value,
// function and class can be used by every other without knowing what it is.

import { randomOf, type Seeded } from "../../seeded.ts";

export interface Value {
  readonly name: string;
  /** Numeric expressions; `$` is a number given to them. */
  readonly reads: readonly string[];
  /** Statements that change it. */
  readonly writes: readonly string[];
  /** How many evaluated expressions a read costs, so that programs end soon. */
  readonly cost: number;
  /** Its reads have `await` in them. */
  readonly isAsync: boolean;
  /** Whether it can be a part of other data. */
  readonly isData: boolean;
  /** A function from number to number. */
  readonly isFunction: boolean;
}

/** Where code is written: what it sees, and what it may do. */
export interface Place {
  readonly scope: Scope;
  readonly canAwait: boolean;
  /** Reads of `this` and parameters. */
  readonly own: readonly string[];
  readonly spent: { cost: number };
  readonly depth: number;
}

const COST_MAX = 400;
export const DEPTH_MAX = 3;

export class Scope {
  readonly values: Value[] = [];
  readonly outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.outer = outer;
  }

  visible(): Value[] {
    const own = new Set(this.values.map(({ name }) => name));
    return [...this.values, ...(this.outer?.visible() ?? []).filter(({ name }) => !own.has(name))];
  }
}

export class Writer {
  readonly random: Seeded;
  /** Arguments that the constructors of classes take. */
  readonly args = new Map<string, string>();
  readonly #prefix: string;
  #names = 0;

  constructor(seed: number, prefix: string) {
    this.random = randomOf(seed);
    this.#prefix = prefix;
  }

  fresh(kind: string): string {
    return `${this.#prefix}${kind}${this.#names++}`;
  }

  chance(part: number): boolean {
    return this.random.next() < part;
  }

  literal(): string {
    return this.random.pick(["0", "1", "-1", "2", "3", "5", "7", "10", "0.5", "1e3", "0x1f", "-0"]);
  }

  /** Adds what a text declares to the scope it is in. */
  declare(place: Place, name: string, made: Partial<Omit<Value, "name">>): void {
    const { reads = [], writes = [], cost = 1, isAsync = false, isData = false, isFunction = false } = made;
    place.scope.values.push({ name, reads, writes, cost, isAsync, isData, isFunction });
  }

  /** A numeric expression. */
  number(place: Place, depth = 2): string {
    const { random } = this;
    if (depth <= 0) {
      if (this.chance(0.5) && place.own.length > 0) return this.own(place);
      return this.chance(0.6) ? this.read(place, "2") : this.literal();
    }
    const next = (): string => this.number(place, depth - 1);
    switch (random.below(12)) {
      case 0: case 1: case 2: return this.read(place, next());
      case 3: return `(${next()} + ${next()})`;
      case 4: return `(${next()} * ${this.literal()})`;
      case 5: return `(${next()} > ${next()} ? ${next()} : ${next()})`;
      case 6: return `Math.max(${next()}, ${next()})`;
      case 7: return `\`\${${next()}}-\`.length`;
      case 8: return `(${next()}, ${next()})`;
      case 9: return `[${next()}, ...[${next()}]].reduce((a, b) => a + b, 0)`;
      case 10: return this.own(place);
      default: return `(${next()} - ${next()})`;
    }
  }

  /** A read of something in scope that is cheap enough, given a number. */
  read(place: Place, given: string): string {
    const found = place.scope.visible().filter(({ reads, cost, isAsync }) => (
      reads.length > 0 && place.spent.cost + cost <= COST_MAX && (place.canAwait || !isAsync)
    ));
    if (found.length === 0) return given;
    // What was declared last is the least known to the rest.
    const value = this.random.pick(this.chance(0.4) ? found.slice(-3) : found);
    place.spent.cost += value.cost;
    return filled(this.random.pick(value.reads), given);
  }

  own(place: Place): string {
    return place.own.length === 0 ? this.literal() : filled(this.random.pick(place.own), this.literal());
  }

  /** A statement that changes something in scope. */
  write(place: Place): string {
    const found = place.scope.visible().filter(({ writes }) => writes.length > 0);
    if (found.length === 0) return `void ${this.number(place, 1)};`;
    const value = this.random.pick(found);
    return filled(this.random.pick(value.writes), this.number(place, 1));
  }

  /** Data in scope that others can hold, or a new piece. */
  part(place: Place): string {
    const found = place.scope.visible().filter(({ isData }) => isData);
    if (found.length > 0 && this.chance(0.6)) return this.random.pick(found).name;
    return this.random.pick([
      "{ n: 1 }", "[1, [2]]", "null", "undefined", '"text"', "10n", "NaN", "new Map([[1, 2]])", "/x/g", "true",
    ]);
  }

  function(place: Place): string {
    const found = place.scope.visible().filter(({ isFunction, cost }) => isFunction && cost < 60);
    return found.length > 0 && this.chance(0.7) ? this.random.pick(found).name : "((v) => v + 1)";
  }

  /** A place inside of a function here. `repeats`: how often one call of it runs its text. */
  inside(place: Place, own: readonly string[], { canAwait = false, keepsThis = false } = {}): Place {
    const kept = keepsThis ? place.own : place.own.filter((read) => !/\bthis\b|#|super/.test(read));
    return { scope: new Scope(place.scope), canAwait, own: [...own, ...kept], spent: { cost: 0 }, depth: place.depth + 1 };
  }
}

/** Small enough to stay exact. */
export function small(text: string): string {
  return `((${text}) | 0) % 9973`;
}

export function filled(template: string, given: string): string {
  return template.replaceAll(/\$(?!\{)/g, () => `(${given})`);
}
