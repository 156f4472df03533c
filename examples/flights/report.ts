// What the demo shows: progress while it runs, and its figures as tables.

const BAR_WIDTH = 30;
/** Without a terminal: one line for each of these parts of the work. */
const LINES = 4;

/** Goes to stderr, so that stdout holds the result alone. */
export class Progress {
  readonly #total: number;
  readonly #started = performance.now();
  #done = 0;

  constructor(total: number) {
    this.#total = total;
  }

  step(): void {
    this.#done += 1;
    const { isTTY } = process.stderr;
    const atLine = Math.floor((this.#done * LINES) / this.#total) > Math.floor(((this.#done - 1) * LINES) / this.#total);
    if (isTTY) process.stderr.write(`\r${this.#bar()} ${this.#text()}${this.#done === this.#total ? "\n" : ""}`);
    else if (atLine) process.stderr.write(`${this.#text()}\n`);
  }

  #bar(): string {
    const full = Math.round((this.#done / this.#total) * BAR_WIDTH);
    return `[${"#".repeat(full)}${".".repeat(BAR_WIDTH - full)}]`;
  }

  #text(): string {
    return `${this.#done} of ${this.#total} parts of the work, ${((performance.now() - this.#started) / 1000).toFixed(1)} s`;
  }
}

/** Columns as wide as they need; the first is aligned to the left, the others, as numbers, to the right. */
export function tableText(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column].length)));
  const line = (cells: readonly string[]) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ").trimEnd();
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...rows.map(line)].join("\n");
}

export function count(value: number): string {
  return value.toLocaleString("en-US");
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

export function bytes(value: number): string {
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(1)} MB`;
}

export function millis(value: number): string {
  return value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
}
