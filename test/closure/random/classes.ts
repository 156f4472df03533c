// Classes of random programs: fields, private names, statics, accessors, subclasses of their own and of imported classes.

import { body } from "./functions.ts";
import { type Place, small, type Writer } from "./writer.ts";

interface Parent {
  readonly text: string;
  /** Arguments of its constructor. */
  readonly args: string;
  readonly reads: readonly string[];
}

const PARENTS: readonly Parent[] = [
  { text: "Shape", args: '"s"', reads: ["this.describe().length", "super.describe().length"] },
  { text: "EventEmitter", args: "", reads: ['this.listenerCount("x")', '(this.once("x", () => {}), this.emit("x") ? 1 : 2)'] },
  { text: "Map", args: '[["a", 1]]', reads: ["this.size", 'this.get("a")', 'super.get("a")'] },
  { text: "Array", args: "1, 2, 3", reads: ["this.length", "this[0]"] },
  { text: "TypeError", args: '"text"', reads: ["this.message.length", "(this instanceof Error ? 1 : 2)"] },
  { text: "Parser", args: '{ ecmaVersion: 2020 }, "1"', reads: ["this.input.length"] },
];

export function classes(w: Writer, place: Place): string {
  const name = w.fresh("C");
  const mine = place.scope.visible().filter(({ name: one }) => w.args.has(one)).map(({ name: one }): Parent => (
    { text: one, args: w.args.get(one) ?? "", reads: ["this.n", "this.plus(1)", "super.plus(2)"] }
  ));
  const parent = w.chance(0.5) ? undefined : w.random.pick([...mine, ...mine, ...PARENTS]);
  const isOwn = parent !== undefined && mine.includes(parent);
  const inherited = parent?.reads ?? [];
  const own = [
    "this.n", "this.#p", "this.#m(1)", "this.#g", "(#p in this ? 1 : 2)", `${name}.made`, `${name}.#s`, `${name}.count()`,
  ];
  let cost = isOwn ? 60 : 1;
  const inside = (reads: readonly string[]): Place => w.inside(place, reads);
  const number = (reads: readonly string[]): string => {
    const at = inside(reads);
    const text = w.number(at, 1);
    cost += at.spent.cost;
    return text;
  };
  const method = (reads: readonly string[]): string => {
    const at = inside(reads);
    const text = body(w, at, true);
    cost += at.spent.cost;
    return text;
  };
  // What a method calls, no method that it calls calls again.
  const state = own.filter((one) => /\.n$|#p|#s|made/.test(one));
  const all = [...own, ...inherited.filter((one) => !/plus\(1\)/.test(one))];
  const elements = [
    `n = ${number([])};`,
    `#p = ${number(["this.n"])};`,
    `static made = ${w.literal()};`,
    `static #s = ${w.literal()};`,
    ...(w.chance(0.5) ? [`static { ${name}.made += ${number([])}; }`] : []),
    ...constructorOf(w, parent, isOwn),
    `#m(v) { ${w.chance(0.5) ? "this.#p++;" : ""} return ${small(`v + ${number(state)}`)}; }`,
    `get #g() { return ${small(number(state))}; }`,
    `plus(v) { ${w.chance(0.4) ? "this.n = (this.n + v) % 89;" : ""} ${method(["v", ...all])} }`,
    `get half() { return ${small(number([...state, "this.#g"]))}; }`,
    `set half(v) { this.#p = v | 0; }`,
    `static count() { return ++${name}.#s; }`,
    `static of(v) { const it = new this(${parent?.args ?? "v"}); it.n = v | 0; return it; }`,
    `*each() { yield this.n; yield* [this.#p]; }`,
    `async later(v) { await null; return ${small(`v + ${number(state)}`)}; }`,
  ];
  const instance = w.fresh("w");
  const args = parent === undefined ? w.literal() : parent.args;
  w.args.set(name, args);
  const reads = [
    `${name}.of($).plus(1)`, `${name}.of($).half`, `${name}.count()`, `${name}.made`, `${name}.name.length`,
    `[...${name}.of($).each()].reduce((a, b) => a + b, 0)`, `(${name}.of(1) instanceof ${name} ? 1 : 2)`,
    `((v) => { const it = ${name}.of(v); it.half = 3; return it.half; })($)`,
  ];
  cost = 3 * cost;
  w.declare(place, name, { reads, cost });
  w.declare(place, instance, {
    cost, reads: [`${instance}.plus($)`, `${instance}.half`, `${instance}.n`, `(${instance} instanceof ${name} ? 1 : 2)`],
    writes: [`${instance}.half = $;`, `${instance}.n++;`],
  });
  const header = parent === undefined ? "" : ` extends ${parent.text}`;
  const made = `const ${instance} = new ${name}(${args});`;
  const text = w.chance(0.7) || isOwn
    ? `class ${name}${header} {\n${elements.join("\n")}\n}`
    : `const ${name} = class ${name}${header} {\n${elements.join("\n")}\n};`;
  if (!w.chance(0.4)) return `${text}\n${made}`;
  // Its state when it is captured is not what its constructor made.
  const method2 = w.fresh("b");
  w.declare(place, method2, { reads: [`${method2}($)`], cost, isFunction: true });
  return `${text}\n${made}\n${instance}.half = 11; ${instance}.plus(2);\nconst ${method2} = ${instance}.plus.bind(${instance});`;
}

function constructorOf(w: Writer, parent: Parent | undefined, isOwn: boolean): string[] {
  if (w.chance(0.4)) return [];
  if (parent === undefined) return ["constructor(v) { this.#p = v | 0; this.own = new.target.name.length; }"];
  return [`constructor(...given) { super(...given); this.#p += ${isOwn ? "given[0] | 0" : "1"}; }`];
}
