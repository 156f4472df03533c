// Addresses: `unix:/path`, `tcp:host:port`, `memory:name`.

import { isIP } from "node:net";
import { InvalidArgumentError } from "../errors.ts";
import type { Address } from "./channel.ts";

export type Place =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Longest path of a Unix socket: sun_path of Linux without its final zero; macOS has 104. */
const PATH_MAX = process.platform === "darwin" ? 103 : 107;

export function placeOf(address: Address): Place {
  if (address.startsWith("unix:/")) {
    const path = address.slice(5);
    const length = Buffer.byteLength(path);
    if (length > PATH_MAX) {
      const text = `The socket path ${path} has ${length} bytes; the system allows ${PATH_MAX}. Use a shorter directory.`;
      throw new InvalidArgumentError(text);
    }
    return { kind: "unix", path };
  }
  const tcp = /^tcp:(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(tcp?.[3]);
  if (tcp === null || port > 65_535) {
    throw new InvalidArgumentError(`${address} is no address: write unix:/path or tcp:host:port`);
  }
  return { kind: "tcp", host: tcp[1] ?? tcp[2], port };
}

export function addressOf(place: Place): Address {
  if (place.kind === "unix") return `unix:${place.path}`;
  return place.host.includes(":") ? `tcp:[${place.host}]:${place.port}` : `tcp:${place.host}:${place.port}`;
}

/** True when what is sent there never leaves this machine. A name other than localhost could mean anything. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  return isIP(host) === 4 ? host.startsWith("127.") : host === "::1";
}

export function refuseExposure(place: Place, trusted: boolean | undefined, what: string): void {
  if (place.kind === "unix" || trusted || isLoopback(place.host)) return;
  throw new InvalidArgumentError(
    `${what} ${addressOf(place)} would send the cluster's token and all data unencrypted beyond this machine, where anybody ` +
      "who reads them can run code. Use a loopback address, or set trustedNetwork for a network that nobody else can reach.",
  );
}
