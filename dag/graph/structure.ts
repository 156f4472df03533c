// Structures: arrays and plain objects, at any depth. All else in them, instances of classes too, are leaves.

export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === Object.prototype || prototype === null;
}

/** The same structure with what `replace` gives for each leaf; what nothing changes in keeps its identity. */
export function mapStructure(value: unknown, replace: (leaf: unknown) => unknown): unknown {
  if (typeof value !== "object" || value === null) return replace(value);
  if (Array.isArray(value)) {
    // Copied only from the first element that changes.
    let copy: unknown[] | undefined;
    value.forEach((element, i) => {
      const now = mapStructure(element, replace);
      if (now !== element) copy ??= [...(value as unknown[])];
      if (copy !== undefined) copy[i] = now;
    });
    return copy ?? value;
  }
  if (!isPlain(value)) return replace(value);
  let copy: Record<string, unknown> | undefined;
  for (const [key, element] of Object.entries(value)) {
    const now = mapStructure(element, replace);
    if (now !== element) copy ??= { ...value } as Record<string, unknown>;
    if (copy !== undefined) copy[key] = now;
  }
  return copy ?? value;
}
