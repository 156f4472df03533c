// Label selectors: `v` (is), `!v` (is not), `in(a,b)` (is one of), `!in(a,b)` (is none of). All of a request's must match.
//
// As in Ray, the negative forms also match a node that has no such label at all.

export interface LabelSelector {
  readonly label: string;
  readonly negated: boolean;
  readonly values: readonly string[];
}

export type ParsedSelectors = { readonly selectors: readonly LabelSelector[] } | { readonly text: string };

const VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
const LABEL = /^[A-Za-z0-9]([A-Za-z0-9_./-]{0,251}[A-Za-z0-9])?$/;

export function parseSelectors(labels: Readonly<Record<string, string>>, option = "labelSelector"): ParsedSelectors {
  const selectors: LabelSelector[] = [];
  for (const label of Object.keys(labels)) {
    if (!LABEL.test(label)) return { text: `${option}: ${JSON.stringify(label)} is not a label name` };
    const selector = parseSelector(label, labels[label]);
    if (selector === undefined) {
      return { text: `${option}: ${label} is ${JSON.stringify(labels[label])}; allowed are v, !v, in(a,b) and !in(a,b)` };
    }
    selectors.push(selector);
  }
  return { selectors };
}

function parseSelector(label: string, text: unknown): LabelSelector | undefined {
  if (typeof text !== "string") return undefined;
  const trimmed = text.trim();
  const negated = trimmed.startsWith("!");
  const body = (negated ? trimmed.slice(1) : trimmed).trim();
  const list = /^in\((.*)\)$/.exec(body);
  const values = list === null ? [body] : list[1].split(",").map((value) => value.trim());
  return values.every((value) => VALUE.test(value)) ? { label, negated, values } : undefined;
}

export function labelsMatch(selectors: readonly LabelSelector[], labels: Readonly<Record<string, string>>): boolean {
  for (const { label, negated, values } of selectors) {
    const found = Object.hasOwn(labels, label) && values.includes(labels[label]);
    if (found === negated) return false;
  }
  return true;
}

export function formatSelectors(selectors: readonly LabelSelector[]): string {
  return selectors.map(({ label, negated, values }) => {
    const value = values.length === 1 ? values[0] : `in(${values.join(",")})`;
    return `${label}=${negated ? "!" : ""}${value}`;
  }).join(", ");
}
