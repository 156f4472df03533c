// The head as a part: its own program (main.ts), and embedded in a private cluster's host.
export { CODE_WAIT_MS, codeLimitOf } from "./head-code.ts";
export { Head, type HeadParts } from "./head.ts";
