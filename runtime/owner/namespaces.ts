// Namespaces: of drivers that were given none, and those in which things are named that outlive drivers.

const ANONYMOUS = /^ns-[0-9a-f]{16}$/;
export const ANONYMOUS_BYTES = 8;

/** Of a driver without one: nobody else is in it. */
export function anonymousNamespace(hex: string): string {
  return `ns-${hex}`;
}

/**
 * Where scopes and detached objects of a session are named. Nobody could find them in a namespace that ends with its driver, so
 * those that were given none share one.
 */
export function lastingNamespace(namespace: string): string {
  return ANONYMOUS.test(namespace) ? "" : namespace;
}
