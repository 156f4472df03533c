// How connections begin and end, whatever they carry.

import type net from "node:net";
import { ConnectionError, DeadlineError } from "../errors.ts";
import type { Clock } from "../seams.ts";

/** A peer that takes this long to read the last bytes does not want them. */
const END_WITHIN_MS = 2_000;

/** Settles when the socket is connected to `name`, or can't be. `begin` runs in that turn, and may say why it is refused. */
export function connectedWithin(
  timeoutMs: number, clock: Clock, socket: net.Socket, name: string, begin: () => Error | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      timer.cancel();
      socket.destroy();
      reject(error);
    };
    const failed = (error: Error): void => fail(new ConnectionError(`cannot connect to ${name}: ${error.message}`, {}, error));
    const timer = clock.after(timeoutMs, () => {
      fail(new DeadlineError(`no connection to ${name} within ${timeoutMs} ms`));
    }, true);
    socket.once("error", failed);
    socket.once("connect", () => {
      timer.cancel();
      socket.removeListener("error", failed);
      const refusal = begin();
      if (refusal === undefined) return resolve();
      socket.destroy();
      reject(refusal);
    });
  });
}

/** Bounds the end of a socket that is about to be ended. With `isPending` its last bytes keep the process alive. */
export function boundEnd(socket: net.Socket, clock: Clock, isPending: boolean): void {
  if (isPending) socket.ref();
  const timer = clock.after(END_WITHIN_MS, () => socket.destroy());
  socket.once("close", () => timer.cancel());
}
