// Which agent a program joins: the one on this machine when there is one, by its Unix socket, else the one at an address.

import { readFileSync } from "node:fs";
import { nodeOfSocket, readRecords, type SessionRecord } from "../runtime/driver/index.ts";
import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";

export interface TargetOptions {
  readonly address?: string | undefined;
  readonly token?: string | undefined;
  readonly tokenFile?: string | undefined;
}

export interface Target {
  readonly agentAddress: string;
  /** "" when it is not known before the agent says it. */
  readonly clusterId: string;
  /** "" for an agent of another machine. */
  readonly nodeId: string;
  readonly token: string;
  /** Of the node on this machine that is joined, if it is one. */
  readonly record: SessionRecord | undefined;
}

/** @throws NotFoundError when 'auto' finds no node here; InvalidArgumentError for a token that is missing or can't be read. */
export function findTarget(options: TargetOptions & { readonly address: string }): Target {
  const { address } = options;
  const { running } = readRecords();
  const record = address === "auto" ? localNode(running) : nodeAt(running, address);
  if (record !== undefined) {
    const { clusterId, nodeId, sessionDir, tokenFile } = record;
    return { agentAddress: `unix:${sessionDir}/agent.sock`, clusterId, nodeId, token: tokenOf(options, tokenFile), record };
  }
  const agentAddress = dialAddress(address);
  const nodeId = nodeOfSocket(agentAddress) ?? "";
  return { agentAddress, clusterId: "", nodeId, token: tokenOf(options, undefined), record: undefined };
}

/** The head's node if it is here, else any. Nodes of several clusters leave the choice to the user. */
function localNode(running: readonly SessionRecord[]): SessionRecord {
  const found = running.find(({ isHead }) => isHead) ?? running[0];
  if (found === undefined) {
    throw new NotFoundError("no running cluster was found on this machine (troupe start --head starts one)");
  }
  const others = running.filter(({ clusterId }) => clusterId !== found.clusterId);
  if (others.length > 0) {
    const addresses = [found, ...others].map(({ address }) => address.replace(/^tcp:/, "")).join(", ");
    throw new InvalidArgumentError(`nodes of several clusters run on this machine; give the address of one: ${addresses}`);
  }
  return found;
}

/** The node here that has the address, else one of the cluster that it joined there. */
function nodeAt(running: readonly SessionRecord[], wanted: string): SessionRecord | undefined {
  const dialled = dialAddress(wanted).replace("tcp:localhost:", "tcp:127.0.0.1:");
  const isIts = ({ address, sessionDir }: SessionRecord) => dialled === address || dialled === `unix:${sessionDir}/agent.sock`;
  return running.find(isIts) ?? running.find(({ joined }) => joined === dialled);
}

function dialAddress(address: string): string {
  return /^(unix|tcp):/.test(address) ? address : `tcp:${address}`;
}

/** What is given goes before the environment, and that before what the node on this machine has. */
function tokenOf(options: TargetOptions, fallback: string | undefined): string {
  if (options.token !== undefined) return options.token;
  if (options.tokenFile !== undefined) return readToken(options.tokenFile);
  const { TROUPE_TOKEN: token, TROUPE_TOKEN_FILE: file } = process.env;
  if (token !== undefined) return token;
  const found = file ?? fallback;
  if (found === undefined) {
    throw new InvalidArgumentError("joining a cluster needs its token: pass the token or its file, or set TROUPE_TOKEN_FILE");
  }
  return readToken(found);
}

export function readToken(file: string): string {
  let token: string;
  try {
    token = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new InvalidArgumentError(`the token file ${file} can't be read`, {}, error);
  }
  if (token === "") throw new InvalidArgumentError(`the token file ${file} is empty`);
  return token;
}
