// What the command line shares with graphs.

export { serveApi } from "./api/server.ts";
export { taskOf } from "./engine/plan.ts";
export { isOver, isTerminal } from "./engine/states.ts";
export { describeGraph, scheduleText } from "./graph/describe.ts";
export { runBook } from "./run/run-book.ts";
