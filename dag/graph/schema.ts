// Schemas of users: zod, valibot, arktype and others have one face (standardschema.dev).

import { InvalidArgumentError } from "../../sdk/index.ts";

/** Checks and completes what is given: zod, valibot, arktype and others are ones (standardschema.dev). */
export interface StandardSchema<T> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    validate(value: unknown): SchemaResult<T> | Promise<SchemaResult<T>>;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
  };
}
type SchemaResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly unknown[] | undefined }[] };

/** What the schema makes of it. @throws InvalidArgumentError with all it has against it; `root` stands for the whole. */
export async function validated<T>(refused: string, root: string, schema: StandardSchema<T>, given: unknown): Promise<T> {
  const result = await schema["~standard"].validate(given);
  if (result.issues === undefined) return result.value;
  const issues = result.issues.map(({ message, path = [] }) => `${path.map(segment).join(".") || root}: ${message}`);
  throw new InvalidArgumentError(`${refused}: ${issues.join("; ")}`);
}

function segment(part: unknown): string {
  return String(typeof part === "object" && part !== null && "key" in part ? part.key : part);
}
