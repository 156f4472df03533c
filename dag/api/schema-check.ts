// Checks a value against a JSON Schema, as far as the schemas of the API go.

export interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly default?: unknown;
  readonly format?: string;
  readonly description?: string;
  readonly anyOf?: readonly Schema[];
  readonly $ref?: string;
}

const REF = "#/components/schemas/";

/** What is wrong with it, in words; undefined when nothing is. `schemas`: those that others refer to. */
export function problemOf(
  schema: Schema, value: unknown, schemas: Readonly<Record<string, Schema>>, at = "body",
): string | undefined {
  if (schema.$ref !== undefined) return problemOf(schemas[schema.$ref.slice(REF.length)], value, schemas, at);
  if (schema.anyOf !== undefined) {
    const problems = schema.anyOf.map((one) => problemOf(one, value, schemas, at));
    return problems.includes(undefined) ? undefined : problems[0];
  }
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.some((type) => isOf(type, value))) return `${at} must be ${types.join(" or ")}`;
  if (schema.enum !== undefined && !schema.enum.includes(value)) return `${at} must be one of ${schema.enum.join(", ")}`;
  if (typeof value === "number") {
    const { minimum = -Infinity, maximum = Infinity } = schema;
    const range = maximum === Infinity ? `${minimum} or more` : `from ${minimum} to ${maximum}`;
    if (value < minimum || value > maximum) return `${at} must be ${range}`;
  }
  if (schema.format === "date-time" && typeof value === "string" && Number.isNaN(Date.parse(value))) {
    return `${at} must be a time such as 2026-01-31T00:00:00Z`;
  }
  if (Array.isArray(value)) {
    return firstOf(value.entries(), ([i, one]) => problemOf(schema.items ?? {}, one, schemas, `${at}[${i}]`));
  }
  return typeof value === "object" && value !== null ? problemOfObject(schema, value, schemas, at) : undefined;
}

function problemOfObject(
  { properties = {}, required = [], additionalProperties = true }: Schema, value: object,
  schemas: Readonly<Record<string, Schema>>, at: string,
): string | undefined {
  const missing = required.find((name) => (value as Record<string, unknown>)[name] === undefined);
  if (missing !== undefined) return `${at} needs ${missing}`;
  return firstOf(Object.entries(value), ([name, one]) => {
    if (one === undefined) return undefined;
    if (Object.hasOwn(properties, name)) return problemOf(properties[name], one, schemas, `${at}.${name}`);
    if (additionalProperties === false) return `${at} has no ${name}; it has ${Object.keys(properties).join(", ") || "nothing"}`;
    return typeof additionalProperties === "object" ? problemOf(additionalProperties, one, schemas, `${at}.${name}`) : undefined;
  });
}

function firstOf<T>(all: Iterable<T>, problem: (one: T) => string | undefined): string | undefined {
  for (const one of all) {
    const found = problem(one);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isOf(type: string, value: unknown): boolean {
  switch (type) {
    case "null": return value === null;
    case "array": return Array.isArray(value);
    case "object": return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer": return Number.isSafeInteger(value);
    default: return typeof value === type;
  }
}
