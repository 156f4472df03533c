// What a worker is doing now, also while its loop is blocked: its JavaScript stack, read by the engine's inspector.
//
// SIGUSR1 opens the inspector: Node handles it on a thread of its own and interrupts running code. Workers are started so that it
// listens on loopback at any free port (runtime/spawner.ts), under a name that it tells on its standard error alone, which only
// the agent reads. Afterwards it is closed again. Code that is in a system call can't be interrupted: then the system tells
// where it waits.

import { readFileSync } from "node:fs";
import { NotFoundError } from "../../errors.ts";
import type { Clock, Random } from "../../seams.ts";
import { DebugSocket } from "./debug-socket.ts";
import { type Inspected, threadsOf } from "./debug-threads.ts";

const OPEN_TIMEOUT_MS = 3000;
const CLOSE_TIMEOUT_MS = 200;
/** What the inspector still says on standard error after it was closed. */
const LAST_WORDS_MS = 1000;

const OWN_SCRIPT = "troupe:stack";
/** Evaluated on top of what runs, so that the stack it sees has that below its own frames. */
const LOOK = `(() => {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Object.assign(Error, { prepareStackTrace: undefined, stackTraceLimit: 100 });
    const id = globalThis[Symbol.for("troupe.core")]?.session?.parts.identity.processId;
    return JSON.stringify({ id, stack: new Error().stack, waits: process.getActiveResourcesInfo() });
  } finally {
    Object.assign(Error, { prepareStackTrace, stackTraceLimit });
  }
})()
//# sourceURL=${OWN_SCRIPT}`;

/** What Node says when its inspector opens, is used and closes. */
const SAID = [
  /^Debugger listening on (ws:\S+)$/, /^Debugger ending on ws:\S+$/, /^Debugger attached\.$/,
  /^For help, see: https:\/\/nodejs\.org\/\S*inspector\S*$/, /^Waiting for the debugger to disconnect\.\.\.$/,
  /^Starting inspector on \S+ failed: .*$/,
];

export interface StackReaderParts {
  readonly clock: Clock;
  readonly random: Random;
  /** Sends SIGUSR1 to that process alone. */
  readonly interrupt: (pid: number) => void;
}

/** What is under way with one worker, until its inspector is closed. */
interface Reading {
  readonly pid: number;
  /** The thread whose stack is read now; undefined: the process's first. */
  thread: string | undefined;
  /** For everybody who asks meanwhile. */
  text: Promise<string> | undefined;
  /** It was signalled, and has not opened its inspector yet. */
  isOpening: boolean;
  /** Node hears a signal twice: in code that runs, and at the next turn of the loop, where the inspector would open once more. */
  opensAgain: boolean;
  /** Told where the inspector listens. */
  listening: ((url: string) => void) | undefined;
}

export class StackReader {
  readonly #parts: StackReaderParts;
  readonly #readings = new Map<string, Reading>();

  constructor(parts: StackReaderParts) {
    this.#parts = parts;
  }

  /** For people: `at` lines, or why there are none. `thread`: the worker that is a thread of this process. */
  async read(process: string, pid: number, thread?: string): Promise<string> {
    let reading = this.#readings.get(process);
    // One at a time.
    while (reading?.text !== undefined && reading.thread !== thread) await reading.text.catch(() => {});
    if (reading?.text !== undefined) return reading.text;
    reading ??= { pid, thread, text: undefined, isOpening: false, opensAgain: false, listening: undefined };
    reading.thread = thread;
    this.#readings.set(process, reading);
    reading.text = this.#read(process, reading).finally(() => (reading.text = undefined));
    if (!reading.isOpening) this.#parts.interrupt(pid);
    reading.isOpening = reading.opensAgain = true;
    return reading.text;
  }

  /** A line that a worker wrote to its standard error: true when it is about this, and nothing it printed itself. */
  heard(process: string, line: string): boolean {
    const reading = this.#readings.get(process);
    if (reading === undefined) return false;
    const match = SAID.map((pattern) => pattern.exec(line)).find((found) => found !== null);
    const url = match?.[1];
    if (url === undefined) return match !== undefined;
    // Somebody else opened it.
    if (!reading.isOpening && !reading.opensAgain) return false;
    if (reading.listening !== undefined) {
      reading.listening(url);
    } else {
      if (!reading.isOpening) reading.opensAgain = false;
      void this.#closeLate(process, url);
    }
    reading.isOpening = false;
    return true;
  }

  /** The worker has ended. */
  forget(process: string): void {
    this.#readings.delete(process);
  }

  async #read(process: string, reading: Reading): Promise<string> {
    const url = await this.#listening(reading);
    if (url === undefined) return inSystem(reading.pid);
    const socket = await DebugSocket.open(url, this.#parts);
    try {
      const main = await stackOf(socket);
      if (main?.isIdle) reading.opensAgain = false;
      const wanted = reading.thread === undefined ? main : await threadStack(socket, reading.thread);
      return wanted?.text ?? inSystem(reading.pid);
    } finally {
      await this.#closed(process, socket);
    }
  }

  #listening(reading: Reading): Promise<string | undefined> {
    return new Promise((resolve) => {
      const end = (url: string | undefined): void => {
        timer.cancel();
        reading.listening = undefined;
        resolve(url);
      };
      const timer = this.#parts.clock.after(OPEN_TIMEOUT_MS, () => end(undefined));
      reading.listening = end;
    });
  }

  async #closeLate(process: string, url: string): Promise<void> {
    try {
      await this.#closed(process, await DebugSocket.open(url, this.#parts));
    } catch {
      // The worker has ended, and its inspector with it.
      this.forget(process);
    }
  }

  async #closed(process: string, socket: DebugSocket): Promise<void> {
    // It closes before it answers.
    await socket.ask("Runtime.evaluate", { expression: "process._debugEnd()" }, CLOSE_TIMEOUT_MS);
    socket.close();
    this.#parts.clock.after(LAST_WORDS_MS, () => {
      const reading = this.#readings.get(process);
      if (reading?.text === undefined && !reading?.isOpening && !reading?.opensAgain) this.forget(process);
    });
  }
}

interface Stack {
  /** Of the Troupe process. */
  readonly id: string | undefined;
  readonly isIdle: boolean;
  readonly text: string;
}

/** Undefined when its JavaScript could not be interrupted. */
async function stackOf(inspected: Inspected): Promise<Stack | undefined> {
  const answer = await inspected.ask("Runtime.evaluate", { expression: LOOK, returnByValue: true });
  const { value } = (answer as { readonly result?: { readonly value?: unknown } } | undefined)?.result ?? {};
  if (typeof value !== "string") return undefined;
  const { id, stack, waits } = JSON.parse(value) as {
    readonly id?: string; readonly stack: string; readonly waits: readonly string[];
  };
  const frames = stack.split("\n").filter((line) => line.startsWith("    at ") && !line.includes(OWN_SCRIPT));
  // Shipped code is compiled under the name of its file, with a mark.
  if (frames.length > 0) return { id, isIdle: false, text: frames.join("\n").replaceAll(/\?troupe=\w+/g, "") };
  const kinds = [...new Set(waits)].sort().join(", ");
  return { id, isIdle: true, text: `no JavaScript is running: its event loop waits${kinds === "" ? "" : ` (${kinds})`}` };
}

async function threadStack(socket: DebugSocket, thread: string): Promise<Stack | undefined> {
  const stacks = await Promise.all((await threadsOf(socket)).map(stackOf));
  return stacks.find((stack) => stack?.id === thread);
}

function inSystem(pid: number): string {
  const { state, wait } = systemState(pid);
  const where = wait === "" || wait === "0" ? "" : `, in ${wait}`;
  return `its JavaScript can't be interrupted: it is in native code or a system call (state ${state}${where})`;
}

function systemState(pid: number): { readonly state: string; readonly wait: string } {
  try {
    const state = /^State:\s+(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "unknown";
    return { state, wait: readFileSync(`/proc/${pid}/wchan`, "utf8").trim() };
  } catch (error) {
    throw new NotFoundError(`process ${pid} did not tell its stack: it has ended, or this system has no /proc`, {}, error);
  }
}
