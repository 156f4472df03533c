// Actors: instances of classes that live in a worker process and keep their state between calls.

import assert from "node:assert/strict";
import { type ActorHandle, actorState, ActorDiedError, get, init, kill, ready, remote } from "troupe";

class Account {
  #balance: number;

  constructor(opening = 0) {
    this.#balance = opening;
  }

  deposit(amount: number): number {
    this.#balance += amount;
    return this.#balance;
  }

  withdraw(amount: number): number {
    if (amount > this.#balance) throw new RangeError(`only ${this.#balance} left`);
    this.#balance -= amount;
    return this.#balance;
  }
}

const RemoteAccount = remote(Account);
/** A handle can be an argument: whoever holds it can call the actor. */
const payIn = remote((account: ActorHandle<Account>, times: number) => {
  for (let i = 0; i < times; i += 1) account.deposit.remote(1);
  return account.deposit.remote(0);
});

await using _cluster = await init({ numCpus: 2 });

const account = RemoteAccount.remote(100);
await ready(account);

// Calls of one caller run in the order in which they were made.
const balances = await get([account.deposit.remote(20), account.withdraw.remote(50), account.deposit.remote(1)]);
assert.deepEqual(balances, [120, 70, 71]);

// What a method throws is thrown by `get`, and the actor lives on.
await assert.rejects(get(account.withdraw.remote(1000)), RangeError);
const last = await get(payIn.remote(account, 9));
assert.equal(await get(last), 80);

const { pid } = await actorState(account);
assert.notEqual(pid, process.pid);

await kill(account);
await assert.rejects(get(account.deposit.remote(1)), ActorDiedError);
console.log(`actors: the account in process ${pid} ended with 80`);
