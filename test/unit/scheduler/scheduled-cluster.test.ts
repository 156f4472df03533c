// Whole clusters of lease queues in virtual time: every task runs once, jobs with equal work end about together, nothing is lost.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ScheduledCluster } from "../../../bench/scheduled-cluster.ts";

describe("a cluster of queues", () => {
  test("runs every task, starves nobody, and gives everything back", () => {
    const plans = fc.record({ nodes: fc.integer({ min: 1, max: 12 }), cpus: fc.integer({ min: 2, max: 6 }), seed: fc.nat(1000) });
    fc.assert(fc.property(plans, ({ nodes, cpus, seed }) => {
      const tasks = 40 * nodes * cpus;
      const outcome = new ScheduledCluster({ nodes, cpus, tasks, jobs: 2, ownersOfJob: 2, seed }).run();
      expect([outcome.ran, outcome.heldAtEnd]).toEqual([tasks, 0]);
      // Virtual time: the same on every machine.
      expect(outcome.makespanMs).toBeLessThan(1.5 * outcome.idealMs);
      const [earliest, latest] = [Math.min(...outcome.jobEndsMs), Math.max(...outcome.jobEndsMs)];
      expect(latest).toBeLessThan(1.4 * earliest);
    }), { numRuns: 8 });
  });
});
