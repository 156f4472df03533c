// Wall time of a zone. A *wall time* is a number like a UTC timestamp, whose UTC fields are what a clock on the wall there shows.

import { InvalidArgumentError } from "../../sdk/index.ts";

const QUARTER_MS = 900_000;
const OFFSETS_MAX = 4096;
const DAY_MS = 86_400_000;

export class Zone {
  readonly name: string;
  readonly #offsets = new Map<number, number>();
  readonly #format: Intl.DateTimeFormat | undefined;

  /** @throws InvalidArgumentError for a name that the system does not know. */
  constructor(name: string) {
    this.name = name;
    if (name === "UTC") return;
    try {
      this.#format = new Intl.DateTimeFormat("en-US", {
        timeZone: name,
        hourCycle: "h23",
        era: "short",
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
        second: "numeric",
      });
    } catch {
      throw new InvalidArgumentError(`the time zone "${name}" is not known: give an IANA name, such as "Europe/Berlin"`);
    }
  }

  wallOf(at: number): number {
    return at + this.offsetAt(at);
  }

  /** Milliseconds that clocks there are ahead of UTC. */
  offsetAt(at: number): number {
    if (this.#format === undefined) return 0;
    // Zones change their offset at quarters of an hour.
    const quarter = Math.floor(at / QUARTER_MS);
    const known = this.#offsets.get(quarter);
    if (known !== undefined) return known;
    if (this.#offsets.size >= OFFSETS_MAX) this.#offsets.clear();
    const start = quarter * QUARTER_MS;
    const parts = Object.fromEntries(this.#format.formatToParts(start).map(({ type, value }) => [type, Number(value)]));
    const offset = Date.UTC(parts.year, parts.month - 1, parts.day, parts.hour, parts.minute, parts.second) - start;
    this.#offsets.set(quarter, offset);
    return offset;
  }

  /**
   * The moment at which a clock there shows this. What is shown twice is the second time; what never is, is taken as if the clock
   * had not been put forward: 02:30 becomes 03:30.
   */
  momentOf(wall: number): number {
    const [before, behind] = [this.offsetAt(wall - DAY_MS), this.offsetAt(wall + DAY_MS)];
    if (before === behind) return wall - before;
    const offsets = new Set([before, this.offsetAt(wall), behind]);
    const moments = [...offsets].map((offset) => wall - offset).filter((at) => this.wallOf(at) === wall);
    if (moments.length > 0) return Math.max(...moments);
    // In the gap: by the offset before it.
    return wall - this.offsetAt(this.#beforeGap(wall));
  }

  #beforeGap(wall: number): number {
    let at = wall - this.offsetAt(wall - DAY_MS);
    while (this.wallOf(at) >= wall) at -= QUARTER_MS;
    return at;
  }
}
