// Slots of pools in the whole cluster. What a process has of a pool, and who waits for it, is one value in `kv`, changed by
// compare-and-swap; processes that wait have their turns in the order in which they came, one slot a turn.

import { setTimeout as sleep } from "node:timers/promises";
import { isInitialized, kv } from "../../sdk/index.ts";
import type { Pool } from "../graph/pool.ts";
import type { Holder } from "../journal/holder.ts";
import { poolKey } from "../journal/records.ts";

interface PoolRecord {
  /** Slots, by holder. */
  readonly held: Readonly<Record<string, number>>;
  /** Holders that wait. */
  readonly line: readonly string[];
}

interface Asked {
  readonly by: number;
  readonly grant: () => void;
}

const NOBODY: PoolRecord = { held: {}, line: [] };
const LOOK_MS = 100;
/** Of so many looks one is for holders that are gone. */
const GONE_EVERY = 10;
const TRY_AGAIN_MS = 500;

export class ClusterPools {
  readonly #holder: Holder;
  readonly #shares = new Map<string, Share>();

  constructor(holder: Holder) {
    this.#holder = holder;
  }

  /** Resolves when the slots are this process's; of a session that has ended at once, since nothing is run any more. */
  take(pool: Pool, by: number): Promise<void> {
    const share = this.#shares.get(pool.name) ?? new Share(pool.name, this.#holder);
    this.#shares.set(pool.name, share);
    return share.take(pool.slots, by);
  }

  /** Slots that were taken. */
  release(pool: Pool, by: number): void {
    this.#shares.get(pool.name)?.release(by);
  }
}

/** What this process has of one pool. */
class Share {
  readonly #key: string;
  readonly #holder: Holder;
  #slots = 0;
  #used = 0;
  #asked: Asked[] = [];
  #isBusy = false;

  constructor(name: string, holder: Holder) {
    this.#key = poolKey(name);
    this.#holder = holder;
  }

  take(slots: number, by: number): Promise<void> {
    this.#slots = slots;
    return new Promise((grant) => {
      this.#asked.push({ by, grant });
      this.#begin();
    });
  }

  release(by: number): void {
    this.#used -= by;
    this.#begin();
  }

  #begin(): void {
    if (this.#isBusy) return;
    this.#isBusy = true;
    // What is taken again in the turn in which it is given back goes with it.
    setImmediate(() => void this.#work());
  }

  async #work(): Promise<void> {
    let isTold = false;
    for (let looks = 1; this.#asked.length > 0 || !isTold; looks += 1) {
      try {
        const waits = this.#asked.length;
        const used = this.#used;
        const granted = await this.#look(looks % GONE_EVERY === 0);
        isTold = granted !== undefined && this.#used === used && this.#asked.length <= waits;
        for (const { by, grant } of granted ?? []) {
          this.#used += by;
          grant();
        }
        if (granted?.length === 0 && this.#asked.length > 0) await sleep(LOOK_MS);
      } catch {
        if (!isInitialized()) break;
        await sleep(TRY_AGAIN_MS);
      }
    }
    this.#isBusy = false;
    for (const { by, grant } of this.#asked.splice(0)) {
      this.#used += by;
      grant();
    }
  }

  /** What was granted; undefined when somebody else has changed the pool meanwhile. */
  async #look(forGone: boolean): Promise<readonly Asked[] | undefined> {
    await this.#holder.begin();
    const { id } = this.#holder;
    const kept = await kv.get<PoolRecord>(this.#key);
    const { held, line } = forGone ? await this.#withoutGone(kept ?? NOBODY) : kept ?? NOBODY;
    const others = Object.entries(held).reduce((sum, [holder, slots]) => (holder === id ? sum : sum + slots), 0);
    const isTurn = line.length === 0 || line[0] === id;
    const rivals = line.filter((holder) => holder !== id);
    const granted: Asked[] = [];
    let own = this.#used;
    for (const one of isTurn ? this.#asked : []) {
      if (others + own + one.by > this.#slots || (rivals.length > 0 && granted.length > 0)) break;
      granted.push(one);
      own += one.by;
    }
    const { [id]: before = 0, ...rest } = held;
    const waits = this.#asked.length > granted.length;
    const stays = waits && granted.length === 0 && line.includes(id);
    const next: PoolRecord = {
      held: own === 0 ? rest : { ...rest, [id]: own }, line: stays ? line : waits ? [...rivals, id] : rivals,
    };
    const isSame = !forGone && own === before && next.line.length === line.length && next.line.every((one, i) => one === line[i]);
    if (!isSame && !(await kv.cas(this.#key, kept, next))) return undefined;
    this.#asked.splice(0, granted.length);
    return granted;
  }

  async #withoutGone({ held, line }: PoolRecord): Promise<PoolRecord> {
    const gone = new Set<string>();
    for (const holder of new Set([...Object.keys(held), ...line])) if (await this.#holder.isGone(holder)) gone.add(holder);
    return {
      held: Object.fromEntries(Object.entries(held).filter(([holder]) => !gone.has(holder))),
      line: line.filter((holder) => !gone.has(holder)),
    };
  }
}
