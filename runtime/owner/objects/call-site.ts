// The line of user code that makes an object, for those who look for what fills the store. It costs a stack trace for each
// object, so it is told only where TROUPE_CALL_SITES=1 asks for it.

const ASKED = process.env.TROUPE_CALL_SITES === "1";
/** Frames of this package, and of Node itself, are nobody's. */
const OURS = new URL("../../..", import.meta.url).pathname;

export function callSite(): string | undefined {
  if (!ASKED) return undefined;
  const lines = (new Error().stack ?? "").split("\n").slice(1);
  const found = lines.find((line) => !line.includes(OURS) && !line.includes("node:") && !line.includes("/node_modules/troupe/"));
  return found?.trim().replace(/^at /, "");
}
