// Which rows of the state API a question asks for. The same at whoever holds rows: a process, an agent, the head.

export interface StateQuery {
  /** Only rows whose field, as text, has this value. */
  readonly filters: Readonly<Record<string, string>>;
  /** At most so many rows; 0 is the default. */
  readonly limit: number;
}

export interface StateRowsFound {
  readonly rows: object[];
  /** How many match, given or not. */
  readonly total: number;
}

export const LIMIT_DEFAULT = 100;

export function selectRows(all: Iterable<object>, { filters, limit }: StateQuery): StateRowsFound {
  const most = limit === 0 ? LIMIT_DEFAULT : limit;
  const wanted = Object.entries(filters);
  const rows: object[] = [];
  let total = 0;
  for (const row of all) {
    if (!wanted.every(([field, value]) => textOf((row as Record<string, unknown>)[field]) === value)) continue;
    total += 1;
    if (rows.length < most) rows.push(row);
  }
  return { rows, total };
}

/** Rows that several holders found for the same question. */
export function joinRows(found: readonly StateRowsFound[], { limit }: StateQuery): StateRowsFound {
  const rows = found.flatMap((one) => one.rows).slice(0, limit === 0 ? LIMIT_DEFAULT : limit);
  return { rows, total: found.reduce((sum, one) => sum + one.total, 0) };
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return value.map(textOf).join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
