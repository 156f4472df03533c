// Runtime environments: what a worker is started in. Their definitions, and how a node makes them.
export { PIECE_BYTES_MAX } from "./blob-store.ts";
export {
  blobIdOf, decodeDefinition, encodeDefinition, mergeDefinitions, type BlobId, type EnvironmentDefinition,
  type HookCode, type PackageSet,
} from "./definition.ts";
export { fileNames, folderUrl, type EnvironmentFiles } from "./file-places.ts";
export { nodeArgProblem } from "./node-args.ts";
export {
  lockedSet, npmInstaller, packageProblem, packageSet, type Installer, type InstallerConfig, type NpmParts,
} from "./packages.ts";
export { unpackOffLoop } from "./off-loop.ts";
export { FOLDER_BYTES_MAX, packFolder, type PackedFolder } from "./packing.ts";
export { EnvironmentSite, type Launch, type WorkerEnvironment } from "./site.ts";
