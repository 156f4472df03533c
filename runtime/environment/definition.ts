// What a runtime environment is, as data: the same text in every process, named by its hash.
//
// Everything large in it is a blob of its own, named by its hash too. Agents keep both and carry them between nodes; they read
// a definition and never decode user values.

import { createHash } from "node:crypto";
import { InvalidArgumentError } from "../errors.ts";

export interface EnvironmentDefinition {
  readonly envVars?: Readonly<Record<string, string>>;
  readonly nodeArgs?: readonly string[];
  /** URL, with a slash at its end, of the folder that the environment was made in: names in shipped code begin with it. */
  readonly origin?: string;
  readonly workingDir?: WorkingDirBlob;
  readonly packages?: PackageSet;
  readonly setupHook?: HookCode;
  /** URL of a module that each worker runs before anything else; named as its maker has it. */
  readonly entry?: string;
}

/** A packed folder. */
export interface WorkingDirBlob {
  readonly blob: string;
  /** Of the blob. */
  readonly bytes: number;
}

/** Texts of package.json and, for an exact set, of package-lock.json. */
export interface PackageSet {
  readonly manifest: string;
  readonly lock?: string;
}

/** A function as it travels; `code` is base64. */
export interface HookCode {
  readonly id: string;
  readonly name: string;
  readonly code: string;
}

/** Hex digits of a SHA-256. */
export type BlobId = string;

export function blobIdOf(bytes: Uint8Array): BlobId {
  return createHash("sha256").update(bytes).digest("hex");
}

export function isBlobId(id: unknown): id is BlobId {
  return typeof id === "string" && /^[0-9a-f]{64}$/.test(id);
}

/** Fields of `over` go before those of `base`; variables of both are there. */
export function mergeDefinitions(base: EnvironmentDefinition, over: EnvironmentDefinition): EnvironmentDefinition {
  const envVars = { ...base.envVars, ...over.envVars };
  // A field that is there without a value would hide the base's.
  const given = Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined));
  return { ...base, ...given, ...(Object.keys(envVars).length === 0 ? {} : { envVars }) };
}

/** The same bytes for equal definitions, whatever the order of their fields; undefined for one that says nothing. */
export function encodeDefinition(definition: EnvironmentDefinition): Uint8Array | undefined {
  const { envVars = {}, nodeArgs = [], origin, workingDir, packages, setupHook, entry } = definition;
  const isAboutFiles = workingDir !== undefined || packages !== undefined;
  const fields = {
    envVars: Object.keys(envVars).length === 0 ? undefined : sorted(envVars),
    nodeArgs: nodeArgs.length === 0 ? undefined : nodeArgs,
    origin: isAboutFiles ? origin : undefined,
    workingDir: workingDir && { blob: workingDir.blob, bytes: workingDir.bytes },
    packages: packages && { manifest: packages.manifest, lock: packages.lock },
    setupHook: setupHook && { id: setupHook.id, name: setupHook.name, code: setupHook.code },
    entry,
  };
  const text = JSON.stringify(fields);
  return text === "{}" ? undefined : Buffer.from(text);
}

/** @throws InvalidArgumentError for bytes that are no definition: they come from another process. */
export function decodeDefinition(bytes: Uint8Array): EnvironmentDefinition {
  let found: unknown;
  try {
    found = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch (error) {
    throw new InvalidArgumentError("the definition of a runtime environment is no JSON", {}, error);
  }
  if (!isDefinition(found)) throw new InvalidArgumentError("the definition of a runtime environment has fields of other kinds");
  return found;
}

function sorted(record: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isDefinition(found: unknown): found is EnvironmentDefinition {
  if (!isRecord(found)) return false;
  const { envVars, nodeArgs, origin, workingDir, packages, setupHook, entry } = found;
  return (envVars === undefined || (isRecord(envVars) && Object.values(envVars).every(isText)))
    && (nodeArgs === undefined || (Array.isArray(nodeArgs) && nodeArgs.every(isText)))
    && (origin === undefined || isText(origin)) && (entry === undefined || isText(entry))
    && (workingDir === undefined || (isRecord(workingDir) && isBlobId(workingDir.blob) && Number.isSafeInteger(workingDir.bytes)))
    && (packages === undefined || (isRecord(packages) && isText(packages.manifest) && isOptionalText(packages.lock)))
    && (setupHook === undefined || (isRecord(setupHook) && [setupHook.id, setupHook.name, setupHook.code].every(isText)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function isOptionalText(value: unknown): boolean {
  return value === undefined || isText(value);
}
