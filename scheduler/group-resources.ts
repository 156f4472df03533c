// What a placement group keeps, as resources under names of its own.
//
// A bundle takes {CPU: 2} of its node and offers there {CPU@group: 2, CPU@group#0: 2}: the group's work asks for these names, so
// everything that is true of resources (accounts, reservations, shares, views of other nodes) holds inside a group too. Work for
// one bundle asks for both names, work for any bundle for the first alone, so neither can take what the other holds. Each
// bundle also offers places (`bundle@group`): work that asks for no resources at all still runs where its group is.

import { emptyResources, KEPT_FOR, type Resources, UNITS_PER_ONE } from "./resources.ts";

/** Work for any bundle of the group. */
export const ANY_BUNDLE = -1;

const PLACE = "bundle";
/** Of units: tasks and actors without resources that one bundle holds at once. */
const PLACES = 1000 * UNITS_PER_ONE;

/** What one bundle offers on the node that holds it. */
export function bundleOffer(resources: Resources, group: string, bundle: number): Resources {
  return inGroup({ ...resources, [PLACE]: PLACES }, group, bundle);
}

/** What work asks for that runs in a bundle, or in any (`ANY_BUNDLE`). */
export function groupRequest(resources: Resources, group: string, bundle: number): Resources {
  return inGroup({ ...resources, [PLACE]: 1 }, group, bundle);
}

function inGroup(resources: Resources, group: string, bundle: number): Resources {
  const kept = emptyResources();
  for (const name in resources) {
    if (resources[name] === 0) continue;
    kept[`${name}${KEPT_FOR}${group}`] = resources[name];
    if (bundle !== ANY_BUNDLE) kept[`${name}${KEPT_FOR}${group}#${bundle}`] = resources[name];
  }
  return kept;
}
