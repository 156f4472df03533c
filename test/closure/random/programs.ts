// Random programs, the same ones for the same seed: declarations that use one another, and one function over all of them.

import { declaration } from "./functions.ts";
import { filled, Scope, small, Writer } from "./writer.ts";

/** What every program may use. `MADE` is where outcomes go. */
export const IMPORTS = `
import { EventEmitter } from "node:events";
import * as path from "node:path";
import { inspect } from "node:util";
import { parse, Parser } from "acorn";
import { remote } from "troupe";
import byDefault, * as helpers from "./helpers.mjs";
import { RATE, scale, Shape, table } from "./helpers.mjs";
`;

export interface RandomProgram {
  readonly seed: number;
  /** Name of the function to capture: it takes a number and gives a text. */
  readonly job: string;
  readonly text: string;
}

export function randomProgram(seed: number): RandomProgram {
  const prefix = `s${seed}_`;
  const w = new Writer(seed, prefix);
  const isNested = w.chance(0.4);
  const place = { scope: new Scope(), canAwait: false, own: [], spent: { cost: 0 }, depth: 0 };
  const lines = Array.from({ length: 4 + w.random.below(8) }, () => {
    place.spent.cost = 0;
    return declaration(w, place);
  });
  const inside = w.inside(place, ["n"], { canAwait: true });
  const direct = place.scope.values.filter(({ reads: templates }) => templates.length > 0 && w.chance(0.8))
    .map(({ reads: templates }) => filled(w.random.pick(templates), "n + 1"));
  const written = Array.from({ length: 3 + w.random.below(4) }, () => {
    inside.spent.cost = 0;
    return w.chance(0.3) ? `(() => { ${w.write({ ...inside, canAwait: false })} return 1; })()` : small(w.number(inside, 3));
  });
  // What was changed is read after it.
  const reads = [...written, ...direct];
  const job = `${prefix}job`;
  const steps = reads.map((read) => `\nasync () => ${read}`).join(",");
  const fn = `async (n) => {\nconst all = [];\nfor (const one of [${steps}\n]) {\n` +
    "try { all.push(await one()); } catch (error) { all.push(`${error.name}: ${error.message}`); }\n}\nreturn inspect(all);\n}";
  // In a function of its own nothing is a variable of the module.
  const text = isNested
    ? `const ${job} = (function () {\n${lines.join("\n")}\nreturn ${fn};\n})();` : `${lines.join("\n")}\nconst ${job} = ${fn};`;
  return { seed, job, text };
}
