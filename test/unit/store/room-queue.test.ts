// The wait queue against what fairness means: turns go round, each client keeps its own order, nobody is passed or lost.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RoomQueue } from "../../../runtime/store/room-queue.ts";

interface Request {
  readonly client: number;
  readonly order: number;
}

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("add" as const), client: fc.integer({ min: 0, max: 4 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("serve" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), which: fc.nat() }) },
);

describe("the queue for room", () => {
  it("loses nobody, keeps each client's order, and lets no client have two turns while another waits for one", () => {
    fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const queue = new RoomQueue<Request>();
      const waiting: Request[] = [];
      /** Turns that were served while this client waited without one, by client. */
      const passed = new Map<number, Set<number>>();
      for (const [order, one] of steps.entries()) {
        if (one.kind === "add") {
          const request = { client: one.client, order };
          if (!waiting.some(({ client }) => client === one.client)) passed.set(one.client, new Set());
          waiting.push(request);
          queue.add(one.client, request);
        } else if (one.kind === "remove") {
          const [request] = waiting.splice(one.which % Math.max(1, waiting.length), 1);
          if (request === undefined) continue;
          queue.remove(request.client, request);
          queue.remove(request.client, request);
        } else {
          const { head } = queue;
          expect(head === undefined).toBe(waiting.length === 0);
          if (head === undefined) continue;
          expect(head).toBe(waiting.find(({ client }) => client === head.client));
          queue.served();
          waiting.splice(waiting.indexOf(head), 1);
          passed.set(head.client, new Set());
          for (const client of new Set(waiting.map((request) => request.client))) {
            if (client === head.client) continue;
            const seen = passed.get(client) as Set<number>;
            expect(seen.has(head.client), `client ${head.client} had two turns while ${client} waited`).toBe(false);
            seen.add(head.client);
          }
        }
        expect(queue.size).toBe(waiting.length);
        expect(new Set(queue.requests())).toEqual(new Set(waiting));
      }
    }));
  });

  it("keeps a large request's turn: small ones behind it wait", () => {
    const queue = new RoomQueue<string>();
    queue.add(1, "large");
    queue.add(2, "small");
    queue.add(1, "next");
    expect(queue.head).toBe("large");
    queue.served();
    expect(queue.head).toBe("small");
    queue.served();
    expect(queue.head).toBe("next");
  });
});
