// Code shipping: a function or class becomes bytes in one process, and a function or class again in another.

export type { CapturedCode, CaptureOptions } from "./contract.ts";
export type { FileNames } from "./file-names.ts";
export { contentHash, type DataHook, type TravelHook } from "./payload.ts";
export { KnownClasses } from "./identity.ts";
export { Originals } from "./originals.ts";
export { type CaptureReport, type ReportEntry, reportOf } from "./report.ts";
export { type CodeShipper, createShipper, type ShipperHooks } from "./shipper.ts";
