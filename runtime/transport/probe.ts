// Whether anybody listens at an address. A machine that lives says at once that nobody does; one out of reach says nothing.

import net from "node:net";
import { placeOf } from "./address.ts";
import type { Address } from "./channel.ts";

const WITHIN_MS = 2000;

/** True only when the machine there refused the connection: the process that listened is gone. */
export function isDeserted(address: Address): Promise<boolean> {
  const place = placeOf(address);
  return new Promise((resolve) => {
    const socket = net.connect(place.kind === "unix" ? { path: place.path } : { host: place.host, port: place.port });
    const found = (deserted: boolean) => {
      socket.destroy();
      resolve(deserted);
    };
    socket.setTimeout(WITHIN_MS, () => found(false));
    socket.once("connect", () => found(false));
    socket.once("error", (error: NodeJS.ErrnoException) => found(error.code === "ECONNREFUSED"));
  });
}
