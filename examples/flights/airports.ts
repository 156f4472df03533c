// A group of airports as an actor: it is fed with partitions and keeps the totals of the routes that begin in its group.

import type { Table } from "apache-arrow";
import { type Airports, columnsOf, DELAYED } from "./partitions.ts";

export interface Route {
  readonly origin: string;
  readonly destination: string;
  readonly flights: number;
  readonly meanDelay: number;
  readonly delayedShare: number;
  readonly meanDistance: number;
  readonly worstDelay: number;
}

export class AirportGroup {
  readonly #airports: Airports;
  readonly #group: number;
  readonly #groups: number;
  readonly #flights: Float64Array;
  readonly #delay: Float64Array;
  readonly #delayed: Float64Array;
  readonly #distance: Float64Array;
  readonly #worst: Float64Array;

  /** Airports are dealt out to the groups in turn. */
  constructor(airports: Airports, group: number, groups: number) {
    this.#airports = airports;
    this.#group = group;
    this.#groups = groups;
    const size = Math.ceil(airports.length / groups) * airports.length;
    this.#flights = new Float64Array(size);
    this.#delay = new Float64Array(size);
    this.#delayed = new Float64Array(size);
    this.#distance = new Float64Array(size);
    this.#worst = new Float64Array(size).fill(Number.NEGATIVE_INFINITY);
  }

  /** Takes a partition in and returns how many of its flights began in this group. */
  add(table: Table): number {
    let taken = 0;
    for (const { origin, destination, delay, distance } of columnsOf(table)) {
      for (let row = 0; row < origin.length; row += 1) {
        if (origin[row] % this.#groups !== this.#group) continue;
        const place = Math.floor(origin[row] / this.#groups) * this.#airports.length + destination[row];
        this.#flights[place] += 1;
        this.#delay[place] += delay[row];
        if (delay[row] > DELAYED) this.#delayed[place] += 1;
        this.#distance[place] += distance[row];
        if (delay[row] > this.#worst[place]) this.#worst[place] = delay[row];
        taken += 1;
      }
    }
    return taken;
  }

  routes(): Route[] {
    const found: Route[] = [];
    this.#flights.forEach((flights, place) => {
      if (flights === 0) return;
      const origin = Math.floor(place / this.#airports.length) * this.#groups + this.#group;
      found.push({
        origin: this.#airports[origin], destination: this.#airports[place % this.#airports.length], flights,
        meanDelay: this.#delay[place] / flights, delayedShare: this.#delayed[place] / flights,
        meanDistance: this.#distance[place] / flights, worstDelay: this.#worst[place],
      });
    });
    return found;
  }
}
