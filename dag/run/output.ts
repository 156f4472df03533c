// What the code of tasks prints. It goes where it always went, without the secrets that this process has seen; and each line is a
// log of the task that printed it, whatever else runs in this process: the call tells which by its context.

import { printedBy } from "./context.ts";
import { masked } from "./secrets.ts";

/** Characters of a line. */
export const LINE_MAX = 64 * 1024;
/** Characters that one attempt is heard of. */
const PRINTED_MAX = 1024 * 1024;

export type StreamName = "stdout" | "stderr";
type Write = (chunk: unknown, ...rest: unknown[]) => boolean;

let isCaptured = false;

/** From now on, in this process. */
export function captureOutput(): void {
  if (isCaptured) return;
  isCaptured = true;
  for (const name of ["stdout", "stderr"] as const) {
    const stream = process[name];
    const write = stream.write.bind(stream) as Write;
    stream.write = (chunk: unknown, ...rest: unknown[]) => {
      const text = typeof chunk === "string" ? chunk : Buffer.from(chunk as Uint8Array).toString();
      printedBy()?.add(name, text);
      const shown = masked(text);
      return write(shown === text ? chunk : shown, ...rest);
    };
  }
}

/** The lines of one attempt. */
export class PrintedLines {
  readonly #tell: (name: StreamName, line: string) => void;
  readonly #begun: Record<StreamName, string> = { stdout: "", stderr: "" };
  #chars = 0;

  constructor(tell: (name: StreamName, line: string) => void) {
    this.#tell = tell;
  }

  add(name: StreamName, text: string): void {
    if (this.#chars > PRINTED_MAX) return;
    this.#chars += text.length;
    const lines = (this.#begun[name] + text).split("\n");
    this.#begun[name] = lines.pop()!;
    for (const line of lines) this.#tell(name, line);
    if (this.#chars > PRINTED_MAX) {
      this.end();
      this.#tell("stderr", `what is printed after ${PRINTED_MAX} characters is left out here`);
    }
  }

  /** Nothing more is to come: what was begun is a line. */
  end(): void {
    for (const name of ["stdout", "stderr"] as const) {
      if (this.#begun[name] !== "") this.#tell(name, this.#begun[name]);
      this.#begun[name] = "";
    }
  }
}
