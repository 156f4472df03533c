// `troupe memory`: how full the object stores are, who fills them, and the largest objects with where they were made.

import type { Command } from "commander";
import { type Row, withCluster } from "./cluster-link.ts";
import { connecting, type ConnectOptions } from "./option-values.ts";
import { print, printJson, shownBytes, table } from "./table.ts";

const OBJECTS_SHOWN = 20;

interface MemoryOptions extends ConnectOptions {
  readonly json?: boolean;
}

export function declareMemory(command: Command): void {
  connecting(command)
    .option("--json", "print JSON")
    .addHelpText("after", `
Processes that run with TROUPE_CALL_SITES=1 also tell the line of code that made each object.

Example:
  $ troupe memory`)
    .action(memory);
}

async function memory(options: MemoryOptions): Promise<void> {
  await withCluster(options, async ({ link }) => {
    const [stores, objects, workers] = await Promise.all([link.rows("stores"), link.rows("objects"), link.rows("workers")]);
    objects.sort((one, other) => Number(other.size) - Number(one.size));
    if (options.json) return printJson({ stores, objects });
    print(table(["node", "used", "capacity", "objects", "spilled", "on disk", "waiting"], stores.map(storeRow)));
    const holders = stores.flatMap(({ nodeId, holders: told }) =>
      (told as Row[]).map((holder) => ({ ...holder, node: nodeId })),
    );
    if (holders.length > 0) print(`\n${table(["node", "process", "pid", "made", "reads"], holders.map(holderRow))}`);
    if (objects.length === 0) return;
    const pids = pidsOf(workers, stores);
    const largest = objects.slice(0, OBJECTS_SHOWN).map((row) => objectRow(row, pids));
    print(`\n${table(["id", "size", "state", "owner", "handles", "held by", "kept", "site"], largest)}`);
    if (objects.length > OBJECTS_SHOWN) print(`and ${objects.length - OBJECTS_SHOWN} smaller ones: troupe list objects`);
  });
}

function storeRow(store: Row): Row {
  return {
    node: store.nodeId, used: shownBytes(Number(store.used)), capacity: shownBytes(Number(store.capacity)),
    objects: store.objects, spilled: store.evicted, waiting: store.waiting,
    "on disk": shownBytes(Number(store.spillFileBytes ?? 0)),
  };
}

function holderRow({ node, process, pid, objects, bytes, pinnedObjects, pinnedBytes }: Row): Row {
  return {
    node, process: process === "" ? "ended ones" : process, pid: Number(pid) > 0 ? pid : "",
    made: `${shownBytes(Number(bytes))} in ${String(objects)}`,
    reads: `${shownBytes(Number(pinnedBytes))} in ${String(pinnedObjects)}`,
  };
}

/** Of workers, and of drivers that have used a store. */
function pidsOf(workers: readonly Row[], stores: readonly Row[]): Map<string, string> {
  const holders = stores.flatMap(({ holders: told }) => told as Row[]).map(({ process, pid }) => ({ id: process, pid }));
  return new Map([...workers, ...holders].map(({ id, pid }) => [String(id), `pid ${String(pid)}`]));
}

function objectRow({ id, size, state, ownerId, localHandles, heldBy, site, ...lives }: Row, pids: Map<string, string>): Row {
  const holders = (heldBy as string[]).map((process) => pids.get(process) ?? process).join(", ");
  const kept = keptFor(lives);
  return { id, size: shownBytes(Number(size)), state, owner: ownerId, handles: localHandles, "held by": holders, kept, site };
}

/** What agents keep it for, beyond its maker. */
function keptFor({ lifetime, scopes, name }: Row): string {
  if (lifetime === undefined) return "";
  const all = [...(scopes as string[]).map((scope) => `scope ${scope}`), ...(name === "" ? [] : [`name ${String(name)}`])];
  return all.length > 0 ? all.join(", ") : "detached";
}
