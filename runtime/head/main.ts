// The head's program: a child of the agent on its machine.

import { rmSync, writeSync } from "node:fs";
import { readConfig } from "../lifeline-config.ts";
import { watchLifeline } from "../lifeline.ts";
import { mainOf } from "../programs.ts";
import { LIFELINE_FD, systemSpawner } from "../spawner.ts";
import { openStorage } from "../storage/index.ts";
import { systemClock, systemRandom } from "../system.ts";
import { systemTransport } from "../transport/index.ts";
import type { HeadConfig } from "../agent/index.ts";
import { Head } from "./head.ts";
import { codeLimitOf } from "./head-code.ts";

const { clusterId, token, nodeId, processId, sessionDir, listen, storage, storageSynced } = readConfig<HeadConfig>();
const socket = `${sessionDir}/head.sock`;
watchLifeline({ watched: true, path: socket });
// Of a head before this one, whose agent has seen it end.
rmSync(socket, { force: true });
const clock = systemClock;
const head = new Head({
  seams: { clock, random: systemRandom, transport: systemTransport({ clock }), spawner: systemSpawner({ mainOf }) },
  identity: { kind: "head", processId, nodeId, clusterId, token },
  codeLimit: codeLimitOf(process.env.TROUPE_JOB_CODE_MEMORY),
  storage: await openStorage(storage, { synced: storageSynced }),
  failed: (error) => {
    process.stderr.write(`troupe head: ${error.message}\n`);
    process.exit(1);
  },
});
const listener = await head.listen(listen);
writeSync(LIFELINE_FD, `${JSON.stringify({ address: listener.address })}\n`);
