// Which worker ends when its node runs out of memory: one at a time, and only memory of its own counts. Pages of the object
// store that it has mapped are nobody's fault who reads them.
//
// Pure. Idle workers go first: nothing is lost with them. Then those with tasks, which are tried again; of the large ones the one
// that began last, which loses least. Actors, which take their state along, come last.

export interface MemoryHolder {
  readonly process: string;
  /** Anonymous memory, bytes. */
  readonly bytes: number;
  readonly work: "none" | "task" | "actor";
  /** Clock time since when it works. */
  readonly since: number;
}

/** A process of Node holds about as much before it has done anything: less is not worth a death. */
export const WORTHWHILE_BYTES = 64 * 1024 * 1024;

/** Undefined when no worker's end would help. */
export function reliefOf(holders: readonly MemoryHolder[]): MemoryHolder | undefined {
  const worthwhile = holders.filter(({ bytes }) => bytes >= WORTHWHILE_BYTES);
  const idle = worthwhile.filter(({ work }) => work === "none");
  if (idle.length > 0) return idle.reduce((a, b) => (b.bytes > a.bytes ? b : a));
  return newestOfTheLarge(worthwhile, "task") ?? newestOfTheLarge(worthwhile, "actor");
}

/** Large is what holds at least half of what the largest does. */
function newestOfTheLarge(holders: readonly MemoryHolder[], work: MemoryHolder["work"]): MemoryHolder | undefined {
  const of = holders.filter((one) => one.work === work);
  const most = Math.max(0, ...of.map(({ bytes }) => bytes));
  const large = of.filter(({ bytes }) => bytes * 2 >= most);
  return large.length === 0 ? undefined : large.reduce((a, b) => (b.since >= a.since ? b : a));
}
