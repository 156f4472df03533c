// Functions of random programs: every form that JavaScript has, over what is around them.

import { classes } from "./classes.ts";
import { data } from "./data.ts";
import { DEPTH_MAX, type Place, small, type Value, type Writer } from "./writer.ts";

/** Any declaration; what is nested deep is plain. */
export function declaration(w: Writer, place: Place): string {
  const kinds = place.depth >= DEPTH_MAX ? [data, arrow] : [data, data, classes, ...FUNCTIONS];
  return w.random.pick(kinds)(w, place);
}

/** Statements of a function, with a local variable `t`, and what they come to. */
export function body(w: Writer, place: Place, isShort = false): string {
  const t = w.fresh("t");
  const lines = [`let ${t} = ${w.number(place, 1)};`];
  if (!isShort && w.chance(0.35)) lines.push(declaration(w, { ...place, canAwait: false }));
  w.declare(place, t, { reads: [t], writes: [`${t} = $ % 991;`, `${t}++;`] });
  const count = isShort ? 1 : 1 + w.random.below(3);
  for (let at = 0; at < count; at++) lines.push(statement(w, place, t));
  lines.push(`return ${small(w.chance(0.6) ? `${t} + ${w.number(place)}` : w.number(place))};`);
  return lines.join("\n");
}

function statement(w: Writer, place: Place, t: string): string {
  const one = (): string => w.number(place, 1);
  const inner = (): string => `${t} = (${t} + ${one()}) | 0;`;
  switch (w.random.below(10)) {
    case 0: case 1: return w.write(place);
    case 2: {
      // The body of a loop costs as often as it runs.
      const before = place.spent.cost;
      const text = `for (let i = 0; i < 2; i++) ${inner()}`;
      place.spent.cost += place.spent.cost - before;
      return text;
    }
    case 3: return `if (${one()} > ${one()}) { ${w.write(place)} } else ${inner()}`;
    case 4: return `try { if (${one()} > 1) throw new RangeError("m" + ${one()}); ${inner()} } ` +
      `catch ({ message }) { ${t} += message.length % 5; } finally { ${w.write(place)} }`;
    case 5: return `switch (${one()} & 3) { case 0: ${inner()} case ${w.literal()}: { const k = ${one()}; ${t} = k | 0; ` +
      `break; } default: ${w.write(place)} }`;
    case 6: {
      const [a, b] = [w.fresh("v"), w.fresh("v")];
      return `{ const { a: ${a} = ${one()}, b: [${b}] } = { b: [${one()}] }; ${t} = (${t} + ${a} * ${b}) | 0; }`;
    }
    case 7: return `outer: for (const a of [1, 2]) for (const b of [3]) { if (a + ${t} > b) continue outer; ${inner()} }`;
    case 8: return `${t} = ((k) => ((k + ${w.number({ ...place, canAwait: false }, 1)}) | 0))(${t});`;
    default: return inner();
  }
}

type Form = (w: Writer, place: Place) => string;

function plain(w: Writer, place: Place, made: Partial<Value> & { cost: number }, name: string): void {
  w.declare(place, name, { reads: [`${name}($)`, `${name}.call(undefined, $)`], isFunction: true, ...made });
}

/** A parameter, which may hide a variable of the outside. */
function parameter(w: Writer, place: Place): string {
  const around = place.scope.visible().filter(({ name }) => !/^\W/.test(name));
  return around.length > 0 && w.chance(0.12) ? w.random.pick(around).name : "n";
}

function scopeOf(w: Writer, place: Place, options = {}): { inside: Place; n: string } {
  const n = parameter(w, place);
  const inside = w.inside(place, [], options);
  w.declare(inside, n, { reads: [n], writes: [`${n} = $ | 0;`], cost: 0 });
  return { inside, n };
}

const declared: Form = (w, place) => {
  const [name, { inside, n }] = [w.fresh("f"), scopeOf(w, place)];
  const text = `function ${name}(${n}) {\n${body(w, inside)}\n}`;
  plain(w, place, { cost: 1 + inside.spent.cost }, name);
  if (!w.chance(0.2)) return text;
  w.declare(place, name, { reads: [`${name}.note`, `${name}.length`] });
  return `${text}\n${name}.note = ${w.literal()};`;
};

function arrow(w: Writer, place: Place): string {
  const [name, { inside, n }] = [w.fresh("a"), scopeOf(w, place, { keepsThis: true })];
  const text = w.chance(0.5) ? `(${n}) => ${small(w.number(inside))}` : `${n} => {\n${body(w, inside, true)}\n}`;
  // What an arrow reads of a method's `this` can't leave the method: it is called there only.
  plain(w, place, { cost: 1 + inside.spent.cost, isFunction: !/\bthis\b|super/.test(text) }, name);
  return `${w.chance(0.2) ? "let" : "const"} ${name} = ${text};`;
}

const recursive: Form = (w, place) => {
  const [name, self, inside] = [w.fresh("r"), w.fresh("s"), w.inside(place, ["n"])];
  const text = `const ${name} = function ${self}(n) { return n <= 0 ? ${w.number(inside, 1)} : ` +
    `${small(`${self}(n - 1) + ${w.number(inside, 1)}`)}; };`;
  w.declare(place, name, { reads: [`${name}($ & 3)`], cost: 5 * (1 + inside.spent.cost) });
  return text;
};

const mutual: Form = (w, place) => {
  const [a, b] = [w.fresh("m"), w.fresh("m")];
  let cost = 0;
  const half = (mine: string, other: string): string => {
    const inside = w.inside(place, ["n"]);
    const text = `function ${mine}(n) { return n <= 0 ? ${w.number(inside, 1)} : ${other}(n - 1) + 1; }`;
    cost += inside.spent.cost;
    return text;
  };
  const text = `${half(a, b)}\n${half(b, a)}`;
  w.declare(place, a, { reads: [`${a}($ & 3)`], cost: 4 * (1 + cost) });
  return text;
};

const defaults: Form = (w, place) => {
  const name = w.fresh("p");
  const inside = w.inside(place, ["n", "a", "b", "c", "rest.length", "more.length"]);
  const given = w.inside(place, ["n"]);
  const text = `function ${name}(n, a = ${w.number(given, 1)}, { b = ${w.number(given, 1)}, ...rest } = { z: n }, ` +
    `[c = () => 1] = [a], ...more) { ${body(w, { ...inside, own: inside.own.filter((one) => one !== "c") }, true)} }`;
  const cost = 1 + inside.spent.cost + given.spent.cost;
  w.declare(place, name, { reads: [`${name}($)`, `${name}(1, 2, { b: $, c: 1 }, [4], 5, 6)`], cost });
  return text;
};

const withArguments: Form = (w, place) => {
  const name = w.fresh("g");
  const inside = w.inside(place, ["arguments[0]", "arguments.length", "(() => arguments.length)()"]);
  const text = `function ${name}() { return ${small(w.number(inside))}; }`;
  plain(w, place, { cost: 1 + inside.spent.cost }, name);
  return text;
};

const generator: Form = (w, place) => {
  const [name, { inside, n }] = [w.fresh("y"), scopeOf(w, place)];
  const others = place.scope.visible().filter(({ name: one, cost }) => /y\d+$/.test(one) && cost < 40);
  const delegated = others.length > 0 && w.chance(0.5) ? `yield* ${w.random.pick(others).name}(1);` : "";
  const text = `function* ${name}(${n}) { yield ${w.number(inside, 1)}; ${delegated} for (const v of [1, 2]) ` +
    `yield v + ${w.number(inside, 1)}; }`;
  w.declare(place, name, { reads: [`[...${name}($)].reduce((a, b) => a + b, 0)`], cost: 45 + 2 * inside.spent.cost });
  return text;
};

const asynchronous: Form = (w, place) => {
  const [name, { inside, n }] = [w.fresh("q"), scopeOf(w, place, { canAwait: true })];
  const content = `(${n}) ${"=>"} { await null; ${body(w, inside, true)} }`;
  const text = w.chance(0.5) ? `const ${name} = async ${content};` : `async function ${name}${content.replace("=>", "")}`;
  const reads = [`(await ${name}($))`, `(await Promise.all([${name}($), ${name}(1)])).length`];
  w.declare(place, name, { reads, cost: 2 * (1 + inside.spent.cost), isAsync: true });
  return text;
};

const asyncGenerator: Form = (w, place) => {
  const [name, { inside, n }] = [w.fresh("z"), scopeOf(w, place, { canAwait: true })];
  const text = `async function* ${name}(${n}) { yield ${w.number(inside, 1)}; await null; yield ${w.number(inside, 1)}; }`;
  const sum = `(await (async () => { let all = 0; for await (const v of ${name}($)) all += v; return all; })())`;
  w.declare(place, name, { reads: [sum], cost: 1 + inside.spent.cost, isAsync: true });
  return text;
};

const tagged: Form = (w, place) => {
  const [name, inside] = [w.fresh("x"), w.inside(place, ["texts.raw.length", "values[0]"])];
  const text = `const ${name} = (texts, ...values) => ${small(w.number(inside))};`;
  w.declare(place, name, { reads: [`${name}\`a\${$}b\\n\``], cost: 1 + inside.spent.cost });
  return text;
};

/** A function that makes functions, each with variables of its own. */
const factory: Form = (w, place) => {
  const [name, one, two] = [w.fresh("k"), w.fresh("c"), w.fresh("c")];
  const { inside, n } = scopeOf(w, place);
  const lines = Array.from({ length: 1 + w.random.below(2) }, () => declaration(w, inside));
  const made = w.inside(inside, ["v"]);
  const result = w.chance(0.5)
    ? `(v) => ${small(w.number(made))}` : `function (v) { ${w.write(made)} return ${small(w.number(made))}; }`;
  plain(w, place, { cost: 2 + made.spent.cost }, one);
  plain(w, place, { cost: 2 + made.spent.cost }, two);
  const text = `const ${name} = (${n}) => {\n${lines.join("\n")}\nreturn ${result};\n};`;
  return `${text}\nconst ${one} = ${name}(2), ${two} = ${name}(7);`;
};

/** Closures over one variable, which all of them see change. */
const pair: Form = (w, place) => {
  const name = w.fresh("o");
  const text = `const ${name} = (() => { let v = ${w.literal()}; return { up: (by) => (v += by | 0), get: () => v, ` +
    `set it(to) { v = to | 0; } }; })();`;
  w.declare(place, name, { reads: [`${name}.up($ % 3)`, `${name}.get()`], writes: [`${name}.it = $;`] });
  return text;
};

const loops: Form = (w, place) => {
  const [name, inside] = [w.fresh("l"), w.inside(place, ["i", "v", "j"])];
  const head = w.random.pick(["let i = 0; i < 3; i++", "const i of [4, 5, 6]", "const i in { 0: 1, 1: 2, 2: 3 }"]);
  const text = `const ${name} = [];\nfor (${head}) { let j = i * 2; ${name}.push((v) => { ${w.chance(0.5) ? "j++;" : ""} ` +
    `return ${small(w.number(inside))}; }); }`;
  w.declare(place, name, { reads: [`${name}[Math.abs($ | 0) % 3]($)`], cost: 1 + inside.spent.cost });
  return text;
};

const bound: Form = (w, place) => {
  const [name, fn] = [w.fresh("b"), w.function(place)];
  plain(w, place, { cost: 60 }, name);
  const given = [w.random.pick(["null", "undefined", "{ n: 1 }"]), ...(w.chance(0.5) ? [w.literal()] : [])];
  return `const ${name} = ${fn}.bind(${given.join(", ")});`;
};

const composed: Form = (w, place) => {
  const name = w.fresh("e");
  w.declare(place, name, { reads: [`${name}.reduce((v, step) => step(v) | 0, $)`], cost: 190 });
  return `const ${name} = [${w.function(place)}, Math.trunc, ${w.function(place)}, (v) => v + 1];`;
};

const memo: Form = (w, place) => {
  const [name, inside] = [w.fresh("h"), w.inside(place, ["n"])];
  const value = `cache.get(n) ?? cache.set(n, ${small(w.number(inside))}).get(n)`;
  const text = `const ${name} = ((cache) => (n) => ${value})(new Map([[1, 5]]));`;
  plain(w, place, { cost: 1 + inside.spent.cost }, name);
  return text;
};

const object: Form = (w, place) => {
  const name = w.fresh("j");
  const inside = (): Place => w.inside(place, ["this.n", "(this.n & 3)"]);
  const [a, b, c] = [inside(), inside(), inside()];
  const plus = `plus(v) { ${w.chance(0.5) ? "this.n++;" : ""} return ${small(`v + ${w.number(a)}`)}; }`;
  const text = `const ${name} = { n: ${w.literal()}, ${plus}, ` +
    `get g() { return ${small(w.number(b, 1))}; }, set s(v) { this.n = v | 0; }, *[Symbol.iterator]() { yield this.n; }, ` +
    `["key " + 1]: (v) => v, async later() { return ${small(w.number(c, 1))}; } };`;
  const cost = 1 + a.spent.cost + b.spent.cost;
  const detached = `(({ plus }) => plus.call({ n: 1 }, 2))(${name})`;
  const reads = [`${name}.plus($)`, `${name}.g`, `[...${name}][0]`, `${name}["key 1"]($)`, detached];
  w.declare(place, name, { reads, writes: [`${name}.s = $;`], cost });
  return text;
};

const remoteFunction: Form = (w, place) => {
  const [name, inside] = [w.fresh("u"), w.inside(place, ["v"])];
  const text = `const ${name} = remote((v) => ${small(w.number(inside))});`;
  w.declare(place, name, { reads: [`${name}.local($)`], cost: 1 + inside.spent.cost });
  return text;
};

const imported: Form = (w, place) => {
  const name = w.fresh("i");
  const reads = [
    `${name}($)`, "scale($)", "byDefault($ + RATE)", "helpers.scale($)", "table.f($)", 'path.join("a", `${$}`).length',
    'parse(`${1}+1`, { ecmaVersion: 2020 }).end', "inspect({ n: $ }).length", "new Shape($).describe().length", "RATE",
  ];
  w.declare(place, name, { reads, isFunction: true });
  return `const ${name} = ${w.random.pick(["scale", "table.f", "helpers.default", "byDefault"])};`;
};

const FUNCTIONS: readonly Form[] = [
  declared, declared, arrow, arrow, recursive, mutual, defaults, withArguments, generator, asynchronous, asyncGenerator, tagged,
  factory, factory, pair, loops, bound, composed, memo, object, remoteFunction, imported,
];
