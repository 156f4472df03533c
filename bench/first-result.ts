// A program as short as a user's first: prints the milliseconds from init() to the first result.

import { get, init, remote, shutdown } from "troupe";

const started = performance.now();
const answer = remote(() => 42);
await init();
await get(answer.remote());
console.log((performance.now() - started).toFixed(1));
await shutdown();
