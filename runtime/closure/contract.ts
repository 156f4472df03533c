// The contract of code shipping: any function or class becomes bytes in one process and a function again in another.

export interface CapturedCode {
  /** Content hash (lower-case hex, 32 digits) of `bytes`: equal code has an equal id in every process. */
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Content hashes of captured data that was kept apart (ShipperHooks.data). */
  readonly needs: readonly string[];
  /** What people call it: its name, that of the variable it was made for, or its place. */
  readonly name: string;
  /** For messages to people: `job (train.ts:41:17)`. */
  readonly label: string;
  readonly kind: "function" | "class";
}

export interface CaptureOptions {
  /** 'auto': by reference when the worker can import it, else by value. */
  readonly mode: "auto" | "value" | "reference";
}

export interface CodeShipper {
  /** Synchronous snapshot; throws CaptureError. Cached per function object. */
  capture(fn: Function, options?: CaptureOptions): CapturedCode;
  /** The function that lives here already, or a new one. Rejects with a TroupeError that names module and export. */
  revive(id: string, bytes: Uint8Array): Promise<Function>;
  /** The function of an id that was captured or revived in this process: class identity survives the round trip. */
  known(id: string): Function | undefined;
  /** The captured variable, with the way inside it, that is no longer what it was when the function was captured. */
  changed(fn: Function, options?: CaptureOptions): string | undefined;
}
