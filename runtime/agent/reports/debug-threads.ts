// The threads of a process, through the connection to its inspector: each answers as a process of its own would.

import type { DebugSocket } from "./debug-socket.ts";

/** What can be asked by commands of the inspector. */
export interface Inspected {
  /** What a command gives; undefined when it fails or takes too long. */
  ask(method: string, params: object): Promise<unknown>;
}

interface Attached {
  readonly sessionId: string;
}
interface Received extends Attached {
  readonly message: string;
}

const ANSWER_TIMEOUT_MS = 2000;

export async function threadsOf(socket: DebugSocket): Promise<Inspected[]> {
  const sessions: string[] = [];
  const waiting = new Map<string, (answer: unknown) => void>();
  socket.on("NodeWorker.attachedToWorker", (event) => sessions.push((event as Attached).sessionId));
  socket.on("NodeWorker.receivedMessageFromWorker", (event) => {
    const { sessionId, message } = event as Received;
    const { id, result } = JSON.parse(message) as { readonly id?: number; readonly result?: unknown };
    waiting.get(`${sessionId} ${id}`)?.(result);
  });
  await socket.ask("NodeWorker.enable", { waitForDebuggerOnStart: false });
  let next = 1;
  return sessions.map((sessionId) => ({
    ask: async (method, params) => {
      const id = next++;
      const key = `${sessionId} ${id}`;
      const answer = socket.within<unknown>(ANSWER_TIMEOUT_MS, (resolve) => waiting.set(key, resolve));
      await socket.ask("NodeWorker.sendMessageToWorker", { sessionId, message: JSON.stringify({ id, method, params }) });
      return answer.finally(() => waiting.delete(key));
    },
  }));
}
