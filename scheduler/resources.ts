// Quantities of named resources in fixed point: integers of 1/10000, so that adding and giving back never drifts. Memory alone
// counts in whole bytes: a terabyte of it in 1/10000 bytes would not be exact in a double, nor pass the wire.
//
// A plain record, as on the wire, so that nothing is converted between a message and a decision. Absent means zero. Names
// cannot look like integers, therefore the order of keys is the order of insertion. Records made here have no prototype: a
// resource may be called "constructor".

export type Resources = Readonly<Record<string, number>>;

/** Fixed-point units in one whole resource that is not memory. */
export const UNITS_PER_ONE = 10_000;
export const NO_RESOURCES: Resources = Object.freeze(emptyResources());

/** At least 1. */
export function wholeCpus(total: Resources): number {
  return Math.max(1, Math.ceil(amountOf(total, "CPU") / UNITS_PER_ONE));
}

const NAME = /^[A-Za-z_][A-Za-z0-9_.:/-]{0,127}$/;
export type ParsedResources = { readonly resources: Resources } | { readonly text: string };

export function emptyResources(): Record<string, number> {
  return Object.create(null) as Record<string, number>;
}

/** The numbers a user gave, as fixed point; or what is wrong with them. `option` names where they were given. */
export function parseResources(amounts: Readonly<Record<string, unknown>>, option = "resources"): ParsedResources {
  const resources = emptyResources();
  for (const name of Object.keys(amounts)) {
    if (!NAME.test(name)) {
      return { text: `${option}: ${JSON.stringify(name)} is not a resource name; it starts with a letter and has no spaces` };
    }
    const amount = amounts[name];
    if (amount === undefined) continue;
    const wrong = amountProblem(name, amount);
    if (wrong !== undefined) return { text: `${option}: ${name} is ${String(amount)}, but ${wrong}` };
    const units = Math.round((amount as number) * unitsPerOne(name));
    if (units > 0) resources[name] = units;
  }
  return { resources };
}

function amountProblem(name: string, amount: unknown): string | undefined {
  if (typeof amount !== "number" || Number.isNaN(amount)) return "must be a number";
  if (amount < 0) return "must not be negative";
  const highest = Math.floor(Number.MAX_SAFE_INTEGER / unitsPerOne(name));
  if (amount > highest) return `must be at most ${highest}`;
  if (unitsPerOne(name) === 1) return Number.isInteger(amount) ? undefined : "must be a whole number of bytes";
  return amount > 0 && amount < 1 / UNITS_PER_ONE ? "the smallest amount is 0.0001" : undefined;
}

/** 1 for what counts in bytes, 10000 for everything else. */
export function unitsPerOne(name: string): number {
  return BYTES.has(plainName(name)) ? 1 : UNITS_PER_ONE;
}

const BYTES: ReadonlySet<string> = new Set(["memory", "object_store_memory"]);

/** The numbers a user would have given. */
export function resourceAmounts(resources: Resources): Record<string, number> {
  return Object.fromEntries(Object.keys(resources).map((name) => [name, resources[name] / unitsPerOne(name)]));
}

export function addResources(left: Resources, right: Resources): Resources {
  const sum = emptyResources();
  for (const name in left) sum[name] = left[name];
  for (const name in right) sum[name] = amountOf(sum, name) + right[name];
  return sum;
}

/** May go below zero: the caller decides whether that is allowed. */
export function subtractResources(left: Resources, right: Resources): Resources {
  const rest = emptyResources();
  for (const name in left) rest[name] = left[name];
  for (const name in right) rest[name] = amountOf(rest, name) - right[name];
  return rest;
}

/** The larger of both for each name: what covers either. */
export function coverResources(left: Resources, right: Resources): Resources {
  const cover = emptyResources();
  for (const name in left) cover[name] = left[name];
  for (const name in right) cover[name] = Math.max(amountOf(cover, name), right[name]);
  return cover;
}

/** The smaller of both for each name. */
export function leastResources(left: Resources, right: Resources): Resources {
  const least = emptyResources();
  for (const name in left) least[name] = Math.min(left[name], amountOf(right, name));
  return least;
}

export function resourcesFit(request: Resources, available: Resources): boolean {
  for (const name in request) {
    if (request[name] > 0 && request[name] > amountOf(available, name)) return false;
  }
  return true;
}

/** Names of which `available` has too little. */
export function missingResources(request: Resources, available: Resources): string[] {
  return Object.keys(request).filter((name) => request[name] > 0 && request[name] > amountOf(available, name));
}

export function resourcesEqual(left: Resources, right: Resources): boolean {
  for (const name in left) if (left[name] !== amountOf(right, name)) return false;
  for (const name in right) if (right[name] !== amountOf(left, name)) return false;
  return true;
}

/** The same text for equal resources, whatever the order of their names. */
export function resourcesKey(resources: Resources): string {
  const names = Object.keys(resources).filter((name) => resources[name] !== 0);
  return names.sort().map((name) => `${name}=${resources[name]}`).join(",");
}

/** Stands between a resource and the placement group that keeps it (group-resources.ts); in no name that a user may give. */
export const KEPT_FOR = "@";

/** The resource itself, for one that a group keeps. */
export function plainName(name: string): string {
  const at = name.indexOf(KEPT_FOR);
  return at < 0 ? name : name.slice(0, at);
}

/** Without what groups keep under names of their own: what people are shown. */
export function plainResources(resources: Resources): Resources {
  const plain = emptyResources();
  for (const name in resources) if (!name.includes(KEPT_FOR)) plain[name] = resources[name];
  return plain;
}

export function amountOf(resources: Resources, name: string): number {
  const amount: unknown = resources[name];
  // Whatever a record inherits is no number.
  return typeof amount === "number" ? amount : 0;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

/** For people: `{CPU: 0.5, memory: 512 MiB}`. */
export function formatResources(resources: Resources): string {
  const parts = Object.keys(resources).map((name) => `${name}: ${formatAmount(name, resources[name])}`);
  return `{${parts.join(", ")}}`;
}

function formatAmount(name: string, units: number): string {
  let amount = units / unitsPerOne(name);
  if (!BYTES.has(plainName(name))) return String(amount);
  let unit = 0;
  while (amount >= 1024 && unit < BYTE_UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${Math.round(amount * 10) / 10} ${BYTE_UNITS[unit]}`;
}
