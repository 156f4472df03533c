// What an agent does for a command of the CLI: it asks and is told. It is in no table of this node, whenever and however it ends.

import { Callee, type CallHandlers, type ChannelHandler } from "../transport/index.ts";
import type { HeadLink } from "./head/head-link.ts";

export function commandHandler(head: HeadLink, more: CallHandlers): ChannelHandler {
  const callee = new Callee({
    listState: async (body) => ({ stateRows: await head.ask("listState", body, "stateRows") }),
    drainNode: async (body) => ({ done: await head.ask("drainNode", body, "done") }),
    ...more,
  });
  return {
    messages: { call: (call, channel) => callee.called(call, channel), goodbye: () => {} },
    onTurn: (channel) => channel.flush(),
    onClose: () => {},
  };
}
