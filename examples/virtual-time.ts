// Schedules without waiting for them: a month of days, a pause and a change to summer time, in this process and at once.

import assert from "node:assert/strict";
import { cron, ctx, dag, task } from "troupe/dag";
import { serveDags, VirtualClock } from "troupe/testing";

const told: string[] = [];
const tell = task("tell", () => { told.push(ctx().run.logicalDate.toISOString()); });
const report = dag("report", { schedule: cron("0 6 * * *", { timezone: "Europe/Berlin" }) }, () => tell());

const clock = new VirtualClock("2026-03-15T00:00:00Z");
const service = await serveDags({ dags: [report] }, { clock });

await clock.advanceTo("2026-04-14T00:00:00Z");
assert.equal(told.length, 30);
// Six in the morning, before and after the last Sunday of March.
assert.deepEqual([told[13], told[14]], ["2026-03-28T05:00:00.000Z", "2026-03-29T04:00:00.000Z"]);

await service.pause("report");
await clock.advance(7 * 86_400_000);
await service.unpause("report");
await clock.advance(86_400_000);
assert.deepEqual(told.slice(30), ["2026-04-21T04:00:00.000Z"]);

await service.stop();
console.log(`${told.length} runs, the last of them for ${told.at(-1)}`);
