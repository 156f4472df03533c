// The names of a function's parameters, read from its source.

import { createRequire } from "node:module";
import type * as Acorn from "acorn";

interface Parameter {
  readonly type: string;
  readonly name?: string;
  readonly left?: Parameter;
}
interface Parsed {
  readonly body: readonly { readonly expression: { readonly params?: readonly Parameter[] } }[];
}

/** Undefined where they can't be told: native code, destructured or rest parameters, a syntax that is not known. */
export function parameterNames(fn: Function): string[] | undefined {
  const source = Function.prototype.toString.call(fn);
  for (const text of [`(${source})`, `({${source}})`, `(function ${source})`]) {
    const params = paramsOf(text);
    if (params === undefined) continue;
    const names = params.map((one) => (one.type === "AssignmentPattern" ? one.left : one)?.name);
    return names.every((name) => name !== undefined) ? names : undefined;
  }
  return undefined;
}

function paramsOf(text: string): readonly Parameter[] | undefined {
  const { parse } = createRequire(import.meta.url)("acorn") as typeof Acorn;
  try {
    const tree = parse(text, { ecmaVersion: "latest" }) as unknown as Parsed;
    const { expression } = tree.body[0] as {
      expression: { params?: readonly Parameter[]; properties?: readonly { value: { params?: readonly Parameter[] } }[] };
    };
    return expression.params ?? expression.properties?.[0]?.value.params;
  } catch {
    return undefined;
  }
}
