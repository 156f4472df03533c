// Whether a task runs at a place, by all that decides it: its trigger rule, the setups it works between, who may skip it yet.

import type { Field } from "./field.ts";
import type { PlanTask } from "./plan.ts";
import type { Slot } from "./slots.ts";
import { decide, type Decision, decideTeardown } from "./trigger-rules.ts";

export function decisionOf({ rule, setups, needs, guards }: PlanTask, slot: Slot, field: Field): Decision {
  const all = slot.open === 0;
  if (rule === "teardown") return decideTeardown(field.endsOf(setups, slot), all);
  if (!field.haveEnded(guards, slot)) return "wait";
  const ready = needs.length === 0 ? "run" : decide("allSuccess", field.endsOf(needs, slot), true);
  return ready === "run" ? decide(rule, slot.seen, all) : ready;
}
