// Serializers through the public API: they travel with values and with classes, to processes that never saw the registration,
// and nobody but those who use a value makes it of its bytes.

import { appendFileSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { get, kill, type ObjectRef, put, ready, registerSerializer, remote, SerializationError } from "troupe";
import { testCluster, type TestCluster } from "troupe/testing";
import { afterAll, beforeAll, expect, test } from "vitest";

let cluster: TestCluster;
const folder = mkdtempSync(join(tmpdir(), "serializers-"));

beforeAll(async () => {
  cluster = await testCluster({ head: { numCpus: 2 }, nodes: [{ numCpus: 1, resources: { far: 1 } }] });
  await cluster.connect();
});
afterAll(async () => {
  await cluster.stop();
  rmSync(folder, { recursive: true });
});

class Account {
  #balance: number;
  constructor(balance: number) {
    this.#balance = balance;
  }
  get balance(): number {
    return this.#balance;
  }
  deposit(amount: number): this {
    this.#balance += amount;
    return this;
  }
}
registerSerializer(Account, { serialize: ({ balance }) => ({ balance }), deserialize: ({ balance }) => new Account(balance) });

test("an instance arrives, is used and comes back as one of its class", async () => {
  const deposit = remote((account: Account, amount: number) => account.deposit(amount));
  for (const resources of [{}, { far: 0.1 }]) {
    const back = await get(deposit.options({ resources }).remote(new Account(1), 2));
    expect(back).toBeInstanceOf(Account);
    expect(back.balance).toBe(3);
  }
});

test("a class that travels takes its serializer along: what a worker makes of it comes back", async () => {
  const open = remote((balances: number[]) => balances.map((balance) => new Account(balance)));
  const accounts = await get(open.options({ resources: { far: 0.1 } }).remote([1, 2, 3]));
  expect(accounts.map((account) => (account instanceof Account ? account.balance : undefined))).toEqual([1, 2, 3]);
});

test("a worker passes on what it was given, to a worker that was given nothing", async () => {
  const read = remote((account: Account) => account.balance);
  const relay = remote((account: Account) => get(read.options({ resources: { far: 0.1 } }).remote(account.deposit(10))));
  expect(await get(relay.remote(new Account(5)))).toBe(15);
  const parked = remote((account: Account) => put({ kept: [account] }));
  expect((await get(await get(parked.remote(new Account(7))) as ObjectRef<{ kept: Account[] }>)).kept[0].balance).toBe(7);
});

test("an actor keeps such instances as its state and inside its other values", async () => {
  const Bank = remote(class {
    readonly #accounts = new Map<string, Account>();
    open(name: string, account: Account): void {
      this.#accounts.set(name, account);
    }
    all(): Map<string, Account> {
      return this.#accounts;
    }
  });
  const bank = Bank.remote();
  await get(bank.open.remote("a", new Account(1)));
  await get(bank.open.remote("b", new Account(2)));
  const all = await get(bank.all.remote());
  expect([...all].map(([name, account]) => [name, account.balance])).toEqual([["a", 1], ["b", 2]]);
  await kill(bank);
});

test("what deserialize throws is told as the user's, with its cause", async () => {
  class Picky {
    readonly kind = 1;
  }
  registerSerializer(Picky, {
    serialize: () => 1,
    deserialize: (): Picky => {
      throw new RangeError("not this one");
    },
  });
  const error: unknown = await get(remote((picky: Picky) => picky.kind).remote(new Picky())).catch((thrown) => thrown);
  expect(error).toBeInstanceOf(SerializationError);
  expect(String(error)).toMatch(/deserialize of the serializer of Picky threw where the value arrived: not this one/);
});

test("the head and the agents never decode a value: only who uses it does", async () => {
  const log = join(folder, "decoded");
  class Traced {
    readonly bytes: Uint8Array;
    constructor(bytes: Uint8Array) {
      this.bytes = bytes;
    }
  }
  registerSerializer(Traced, {
    serialize: ({ bytes }) => ({ bytes, log }),
    deserialize: (it) => {
      appendFileSync(it.log, `${process.pid}\n`);
      return new Traced(it.bytes);
    },
  });
  const users = new Set<number>([process.pid]);
  const Keeper = remote(class {
    #kept: Traced[] = [];
    pid(): number {
      return process.pid;
    }
    keep(...values: Traced[]): number {
      return this.#kept.push(...values);
    }
    give(): Traced[] {
      return this.#kept;
    }
  });
  const size = remote((value: Traced) => [process.pid, value.bytes.length] as const);
  for (const bytes of [10, 1_000_000]) {
    for (const resources of [{}, { far: 0.1 }]) {
      const value = new Traced(new Uint8Array(bytes));
      const keeper = Keeper.options({ resources, numCpus: 0 }).remote();
      await ready(keeper);
      users.add(await get(keeper.pid.remote()));
      await get(keeper.keep.remote(value, value));
      expect((await get(keeper.give.remote()))[0].bytes.length).toBe(bytes);
      for (const given of [value, await put(value)]) {
        const [pid, length] = await get(size.options({ resources }).remote(given as Traced));
        users.add(pid);
        expect(length).toBe(bytes);
      }
      await kill(keeper);
    }
  }
  const decoded = new Set(readFileSync(log, "utf8").trim().split("\n").map(Number));
  expect(decoded.size).toBeGreaterThanOrEqual(4);
  expect([...decoded].filter((pid) => !users.has(pid))).toEqual([]);
  const { head, agents } = cluster.pids();
  expect(agents.size).toBe(2);
  expect([head, ...agents.values()].filter((pid) => decoded.has(pid))).toEqual([]);
});
