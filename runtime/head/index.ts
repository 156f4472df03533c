// The head as a part: its own program (main.ts), and embedded in a private cluster's host.
export { Head, type HeadParts } from "./head.ts";
