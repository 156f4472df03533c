// Values: what goes into a call comes out as it was, with classes, cycles and refs; the rest is refused with the way to it.

import assert from "node:assert/strict";
import { get, init, type ObjectRef, put, registerSerializer, remote, SerializationError } from "troupe";

class Point {
  readonly x: number;
  readonly y: number;
  constructor(x: number, y: number) {
    this.x = x;
    this.y = y;
  }
  get norm(): number {
    return Math.hypot(this.x, this.y);
  }
}

/** Its balance is private: only its own code can say how to copy it. */
class Account {
  #balance: number;
  constructor(balance: number) {
    this.#balance = balance;
  }
  get balance(): number {
    return this.#balance;
  }
}
registerSerializer(Account, { serialize: (account) => account.balance, deserialize: (balance) => new Account(balance) });

interface Trip {
  readonly stops: Map<Point, ObjectRef<string>>;
  readonly payer: Account;
  self?: Trip;
}

const describeTrip = remote(async (trip: Trip) => {
  const names = await get([...trip.stops.values()]);
  const length = [...trip.stops.keys()].reduce((sum, point) => sum + point.norm, 0);
  return { names, length, isSame: trip.self === trip, payer: new Account(trip.payer.balance - length) };
});

await using _cluster = await init({ numCpus: 1 });

const trip: Trip = { stops: new Map([[new Point(3, 4), await put("north")]]), payer: new Account(12) };
trip.self = trip;
const { names, length, isSame, payer } = await get(describeTrip.remote(trip));
assert.deepEqual([names, length, isSame], [["north"], 5, true]);
// The worker never saw the registration: it came along with the class.
assert.ok(payer instanceof Account);
assert.equal(payer.balance, 7);

const refused = await put({ items: [{ wait: Promise.resolve() }] }).catch((error: unknown) => error);
assert.ok(refused instanceof SerializationError);
assert.equal(refused.path, "value.items[0].wait");
console.log(`values: ${names} is ${length} away, paid by ${payer.constructor.name}; ${refused.message}`);
