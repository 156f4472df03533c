// A private cluster inside the driver's own process: no process, socket, file or shared memory. For breakpoints and unit tests.

import { createShipper, KnownClasses, Originals } from "../closure/index.ts";
import type { PrivateCluster } from "../driver/index.ts";
import { systemEquipment, type Equipment } from "../owner/index.ts";
import type { AgentConfig } from "../agent/index.ts";
import type { Clock, Random } from "../seams.ts";
import { MemoryStorage } from "../storage/index.ts";
import { Machines, type DriverSeat } from "./machines.ts";
import { ThisProgram, type InlineProcess } from "./this-program.ts";

/** The heap is everybody's: a collection serves all sessions for so long. */
const COLLECT_EVERY_MS = 1000;

export interface InlineCluster extends PrivateCluster {
  /** How the program itself joins. */
  readonly driver: DriverSeat<InlineProcess>["options"];
}

export interface InlineParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly node: AgentConfig["node"];
}

export async function startInlineCluster({ clock, random, node }: InlineParts): Promise<InlineCluster> {
  const identity = { clusterId: random.hex(8), token: random.hex(32), nodeId: random.hex(8) };
  const { nodeId } = identity;
  const world = new ThisProgram({ clock, random });
  const garbage = sharedGarbage(clock);
  const originals = new Originals();
  const machines = new Machines<InlineProcess>({
    world, ...identity, storage: new MemoryStorage(),
    equipment: (memory, { name }) => {
      // The driver's are the program's own.
      const classes = name.startsWith("driver") ? undefined : new KnownClasses(originals);
      return {
        ...systemEquipment, openStore: memory.open, openClaims: () => memory.claims, garbage, oneProcess: true,
        createShipper: (hooks) => createShipper({ ...hooks, originals, classes }),
      };
    },
    surroundings: (process) => world.surroundings(process),
    entered: (process, session) => {
      process.session = session;
      process.exit = (code) => machines.endWorker(process, code, undefined);
    },
  });
  const stop = async (): Promise<void> => {
    machines.close();
    world.close();
  };
  const { total, labels, objectStoreMemory: storeBytes, host } = node;
  try {
    await machines.startHead(nodeId);
    await machines.startNode({ id: nodeId, total, labels, storeBytes, host, listen: "" });
  } catch (error) {
    await stop();
    throw error;
  }
  const { options: driver } = machines.seat(nodeId);
  return { ...identity, agentAddress: `inline:${nodeId}`, driver, ready: Promise.resolve(), stop };
}

function sharedGarbage(clock: Clock): Equipment["garbage"] {
  const { garbage } = systemEquipment;
  let last = Number.NEGATIVE_INFINITY;
  return garbage && {
    ...garbage,
    collect: () => {
      if (clock.now() - last < COLLECT_EVERY_MS) return;
      garbage.collect();
      last = clock.now();
    },
  };
}
