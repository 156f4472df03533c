// What an agent does for the head.

import { Callee, type MessageHandlers } from "../../transport/index.ts";
import type { ActorDesk } from "../actors/actor-desk.ts";
import type { ActorPlacement } from "../actors/agent-actors.ts";
import type { AgentCode } from "../agent-code.ts";
import type { AgentGroups } from "../agent-groups.ts";
import type { AgentJobs } from "../agent-jobs.ts";
import type { AgentLeases } from "../agent-leases.ts";
import type { AgentState } from "../reports/agent-state.ts";
import type { Endings } from "../endings.ts";
import type { KeptObjects } from "../objects/kept-objects.ts";
import type { Relays } from "../relays.ts";

export interface HeadServicesParts {
  readonly nodeId: string;
  readonly desk: ActorDesk;
  readonly groups: AgentGroups;
  readonly leases: AgentLeases;
  readonly state: AgentState;
  readonly endings: Endings;
  readonly kept: KeptObjects;
  readonly code: AgentCode;
  readonly jobs: AgentJobs;
  readonly relays: Relays;
  /** This node has to end. */
  readonly end: (reason: string) => void;
}

/** `parts` are there before the first message is. */
export function headMessages(parts: () => HeadServicesParts): MessageHandlers {
  const callee = new Callee({
    placeActor: (body) => {
      parts().desk.actors.create(body as ActorPlacement);
      return { done: {} };
    },
    killActor: (body) => parts().desk.actors.kill(body),
    reserveBundles: (body) => parts().groups.reserve(body),
    drainNode: () => {
      parts().leases.drain();
      parts().kept.drain();
      return { done: {} };
    },
    listState: async (body) => ({ stateRows: await parts().state.here(body) }),
  });
  return {
    call: (call, channel) => callee.called(call, channel),
    processDied: (died) => parts().endings.processDiedElsewhere(died),
    nodeDied: ({ node, reason }) => {
      const { nodeId, end, endings } = parts();
      if (node === nodeId) end(`this node was declared dead: ${reason}`);
      else endings.nodeDied(node, reason);
    },
    jobEnded: ({ jobId, reason }) => parts().endings.jobEnded(jobId, reason),
    groupChanged: ({ group }) => void (group && parts().groups.changed(group)),
    codeFreed: ({ ids }) => parts().code.freed(ids),
    scopeEnded: ({ id, name }) => parts().kept.scopeEnded(id, name),
    adoptJob: (job) => parts().leases.headNews(parts().jobs.begun(job)),
    quotaShare: (share) => parts().leases.headNews({ kind: "quotaShared", ...share }),
    exit: ({ reason }) => parts().end(reason),
    relay: (message) => parts().relays.pass(message),
    relayClosed: (message) => parts().relays.passClosed(message),
    goodbye: () => {},
  };
}
