// Which GPUs of a node a lease has.

import { expect, test } from "vitest";
import { GpuSlots } from "../../../scheduler/gpu-slots.ts";

const ONE = 10_000;

test("whole GPUs are nobody else's; parts share one until it is full", () => {
  const slots = new GpuSlots(3 * ONE);
  expect(slots.take(0)).toEqual([]);
  expect(slots.take(ONE / 2)).toEqual([0]);
  expect(slots.take(ONE)).toEqual([1]);
  expect(slots.take(ONE / 2)).toEqual([0]);
  expect(slots.take(ONE / 4)).toEqual([2]);
  slots.give([1], ONE);
  expect(slots.take(ONE)).toEqual([1]);
  slots.give([0], ONE / 2);
  slots.give([0], ONE / 2);
  slots.give([2], ONE / 4);
  expect(slots.take(2 * ONE)).toEqual([0, 2]);
});

test("what fits in no single one goes where most room is", () => {
  const slots = new GpuSlots(2 * ONE);
  expect([slots.take(6000), slots.take(6000), slots.take(5000)]).toEqual([[0], [1], [0]]);
  expect(new GpuSlots(0).take(ONE)).toEqual([]);
});
