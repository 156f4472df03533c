// Shows on stderr how a run goes: on a terminal a tree that is drawn anew in place, elsewhere a line for each change.

import type { DagEvent } from "../dag/index.ts";
import { RunView } from "./run-view.ts";

const DRAW_EVERY_MS = 150;

interface Screen {
  readonly isTTY?: boolean;
  readonly rows?: number;
  readonly columns?: number;
  write(text: string, ...rest: never[]): unknown;
}

/** Until the events end. `ids`: the tasks of the graph, in its order. */
export async function watchRun(
  events: AsyncIterable<DagEvent>, ids: readonly string[], screen: Screen = process.stderr,
): Promise<void> {
  if (screen.isTTY !== true) {
    const view = new RunView(ids);
    for await (const event of events) {
      const line = view.see(event);
      if (line !== undefined) screen.write(`${printable(line)}\n`);
    }
    return;
  }
  const view = new RunView(ids, process.env.NO_COLOR === undefined);
  const { write } = screen;
  let [drawn, isLineOpen] = [0, false];
  const erased = (): string => {
    const lines = drawn;
    drawn = 0;
    return lines === 0 ? "" : `\x1b[${lines}A\x1b[J`;
  };
  // What others print, such as tasks, stands above the tree.
  screen.write = (text, ...rest) => {
    write.call(screen, erased());
    isLineOpen = !String(text).endsWith("\n");
    return write.call(screen, text, ...rest);
  };
  const draw = (all: boolean): void => {
    const lines = view.lines(Date.now()).map((line) => cut(printable(line), sizeOf(screen.columns, 80)));
    const most = Math.max(3, sizeOf(screen.rows, 24) - 2);
    const shown = all || lines.length <= most ? lines : [...lines.slice(0, most - 1), `… ${lines.length - most + 1} more`];
    write.call(screen, `${isLineOpen ? "\n" : ""}${erased()}${shown.join("\n")}\n`);
    [drawn, isLineOpen] = [shown.length, false];
  };
  const timer = setInterval(() => draw(false), DRAW_EVERY_MS);
  try {
    for await (const event of events) view.see(event);
  } finally {
    clearInterval(timer);
    draw(true);
    screen.write = write;
  }
}

/** Some terminals don't know how large they are, and say 0. */
function sizeOf(told: number | undefined, otherwise: number): number {
  return told === undefined || told === 0 ? otherwise : told;
}

/** Texts of users draw nothing; colours are the view's. */
function printable(text: string): string {
  return text.replace(/\x1b(?!\[\d+m)|[\x00-\x1a\x1c-\x1f\x7f-\x9f]/g, "?");
}

/** To the width of the terminal: a line that wraps can't be drawn over. */
function cut(line: string, columns: number): string {
  let width = 0;
  return line.replace(/\x1b\[\d+m|[^]/gu, (part) => {
    if (part.startsWith("\x1b[")) return part;
    width += 1;
    return width < columns ? part : "";
  });
}
