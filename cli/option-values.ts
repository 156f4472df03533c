// What people write after an option, as values. Each refuses what it can't read with a sentence that says what it wanted.

import { readFileSync } from "node:fs";
import { InvalidArgumentError as WrongValue, type Command } from "commander";
import { InvalidArgumentError } from "../runtime/errors.ts";

const PORT_MAX = 65_535;

export function portOf(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > PORT_MAX) throw new WrongValue(`It must be a number from 0 (any free port) to ${PORT_MAX}.`);
  return port;
}

export function amountOf(text: string): number {
  const amount = Number(text);
  if (text.trim() === "" || !Number.isFinite(amount) || amount < 0) throw new WrongValue("It must be a number, 0 or more.");
  return amount;
}

/** `{"gpuMemory": 16}` */
export function resourcesOf(text: string): Record<string, number> {
  const wanted = 'It must be JSON such as {"disk": 2}.';
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    // What JSON.parse says of it helps nobody.
    throw new WrongValue(wanted);
  }
  const isRecord = typeof given === "object" && given !== null && !Array.isArray(given);
  if (!isRecord || Object.values(given as object).some((amount) => typeof amount !== "number")) throw new WrongValue(wanted);
  return given as Record<string, number>;
}

/** Collects `k=v`, one or more. */
export function pairsOf(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = text.indexOf("=");
  if (at < 1) throw new WrongValue("It must be NAME=VALUE.");
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
}

/** True when nothing sent to this host leaves the machine. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::" || host === "*";
}

/** `tcp:host:port`, with brackets where the host needs them. */
export function tcpAddress(host: string, port: number): string {
  return `tcp:${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export function hostAndPort(address: string): { host: string; port: number } | undefined {
  const match = /^(?:tcp:)?(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  return match === null || Number(match[3]) > PORT_MAX ? undefined : { host: match[1] ?? match[2], port: Number(match[3]) };
}

export interface ConnectOptions {
  readonly address?: string;
  readonly tokenFile?: string;
  readonly insecureIUnderstand?: boolean;
}

/** The options of every command that asks a running cluster. */
export function connecting(command: Command): Command {
  return command
    .option("--address <host:port>", "a node of the cluster (default: TROUPE_ADDRESS, else the node on this machine)")
    .option("--token-file <file>", "the cluster's token (default: TROUPE_TOKEN_FILE, else that of the node on this machine)")
    .option("--insecure-i-understand", "allow plain text beyond this machine: whoever reads it can run code in the cluster");
}

const EXPOSED =
  "WARNING: the cluster's token and all data are sent UNENCRYPTED beyond this machine. Whoever can read or reach this network " +
  "can run any code on every node. Use this only in a network that nobody else can reach.";

/** Plain text beyond this machine is refused, or warned of when it was asked for. */
export function refuseExposure(what: string, host: string, understood: boolean | undefined): void {
  if (isLoopback(host)) return;
  if (understood) return void process.stderr.write(`${EXPOSED}\n`);
  throw new InvalidArgumentError(
    `${what} would send the cluster's token and all data unencrypted beyond this machine, where anybody who reads them can run ` +
      "code on every node. Use a loopback address; or, in a network that nobody else can reach, give --insecure-i-understand.",
  );
}

/** Reads a small file that may not be there. */
export function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "ESRCH" || code === "EISDIR") return undefined;
    throw error;
  }
}
