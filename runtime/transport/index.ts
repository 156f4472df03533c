// The public face of runtime/transport.

export * from "./channel.ts";
export * from "./messages.ts";
export type { Place } from "./carrier.ts";
export {
  type AnswerBody, Callee, Caller, type CallContext, type CallHandlers, type CallOptions,
} from "./calls.ts";
export { type Cut, Cuts } from "./cuts.ts";
export { describePeer } from "./frame-channel.ts";
export { sameToken } from "./hello.ts";
export { Hold } from "./hold.ts";
export { type Delivery, type MemoryTransport, type MemoryTransportOptions, memoryTransport } from "./memory-channel.ts";
export { RelayHub, type RelayHubOptions } from "./relay-channel.ts";
export type { MakeSink, PeerCredentials } from "./socket-channel.ts";
export { type SystemTransportOptions, systemTransport } from "./transport.ts";
