// Placement groups: resources that are reserved together, all of them or none, and given back together.

import assert from "node:assert/strict";
import { get, getRuntimeContext, inGroup, init, placementGroup, PlacementGroupRemovedError, remote, run, shutdown } from "troupe";

await init({ numCpus: 4, resources: { disk: 1 } });

/** One bundle for a reader beside the disk, one for two workers, on as few machines as can be. */
const group = await placementGroup([{ CPU: 1, disk: 1 }, { CPU: 2 }], { strategy: "PACK", name: "pipeline" });
await group.ready({ timeoutMs: 60_000 });

const read = remote(() => [1, 2, 3, 4], { resources: { disk: 1 }, schedulingStrategy: inGroup(group, { bundleIndex: 0 }) });
const square = remote((n: number) => n * n, { schedulingStrategy: inGroup(group, { bundleIndex: 1 }) });
const squares = await get((await run(read)).map((n) => square.remote(n)));
assert.deepEqual(squares, [1, 4, 9, 16]);

/** What a captured task submits runs in the group too. */
const inside = remote(() => getRuntimeContext().placementGroup?.id);
const captures = remote(() => run(inside), { schedulingStrategy: inGroup(group, { captureChildTasks: true }) });
assert.equal(await run(captures), group.id);

await group.remove();
await assert.rejects(run(square, 5), PlacementGroupRemovedError);
await shutdown();
console.log(`placement-groups: ${squares.length} squares in a group of ${group.bundles.length} bundles, which is gone`);
