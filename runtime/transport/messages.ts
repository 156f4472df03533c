// The wire contract as types, and the table that leads from a message's name to its codec.
//
// A received body is `MessageOf<N>`: every scalar, list and map is there (its default when the sender left it out), nested
// messages and members of a oneof are there or undefined. A body to be sent is `SendOf<N>`: every field optional. What was
// received may be sent as it is. Maps have no prototype; 64-bit fields are numbers up to 2^53-1.

import type { FailureData } from "../errors.ts";
import { MESSAGES } from "../../proto/generated/contract.ts";
import type * as contract from "../../proto/generated/contract.ts";
import type { Codec, Draft } from "../../proto/wire.ts";

/** Raised whenever the meaning of an existing message changes. Processes with different versions refuse each other. */
export const PROTOCOL_VERSION = 1;

type Bodies = { readonly [N in keyof typeof MESSAGES]: (typeof MESSAGES)[N]["codec"] extends Codec<infer T> ? T : never };

/** Camel-case names of what a frame carries: "pushTask", "taskDone", … */
export type MessageName = keyof Bodies;
/** A body as it was received. */
export type MessageOf<N extends MessageName> = Bodies[N];
/** A body as it may be sent. */
export type SendOf<N extends MessageName> = Draft<Bodies[N]>;

export interface MessageEntry<N extends MessageName> {
  /** Number of the field in Message.body. */
  readonly field: number;
  readonly codec: Codec<MessageOf<N>>;
}
export const MESSAGE_TABLE = MESSAGES as { readonly [N in MessageName]: MessageEntry<N> };

/** A system error as data. What was received and what failureOf() makes are both one. */
export type Failure = FailureData;

type CallBodies = Omit<contract.Call, "id" | "attempt" | "origin" | "body">;
type AnswerBodies = Omit<contract.Answer, "id" | "failure" | "body">;
/** Names of what can be asked: "createActor", "grantSlab", … */
export type CallName = keyof CallBodies;
export type CallOf<N extends CallName> = NonNullable<CallBodies[N]>;
/** Names of what an answer can carry: "actor", "slab", … */
export type AnswerName = keyof AnswerBodies;
export type AnswerOf<N extends AnswerName> = NonNullable<AnswerBodies[N]>;

export { fromBytes, toBytes, WireError } from "../../proto/wire.ts";
export type { Codec, Draft } from "../../proto/wire.ts";
export {
  ActorReport, ActorSpec, AgentDetails, CodeItem, DriverDetails, GroupInfo, HeadWelcome, NodeInfo,
  ProcessWelcome, StoreGrant, Value, WorkerDetails,
} from "../../proto/generated/contract.ts";
export type {
  ActorAck, ActorCall, ActorChanged, ActorConstructed, ActorEnded, ActorExiting, ActorInfo, AdoptJob, AgentSynced,
  AllocateObject, Answer, Borrow, BorrowAck, BoundArg, Bundle, Call, CallStuck, CancelObject, CancelTask, Chain, Chunk,
  ClusterView, Code, CodeFreed, CollectGarbage, CommitKeys, Committed, ConstructActor, CopySources, CreateActor, CreateGroup,
  DeathCause, DescribeProcess, DescriptorGrant, Disturb, Done, Drop, EndActor, EndLease, EndObjects, EndScope, EndThread, Exit,
  ExportCode, FetchCode, FetchObject, FindGroup, FindKept, FindNamed, FindObjects, FreeObjects, Goodbye, GrantDescriptors,
  GrantSlab, GroupSpec, Heartbeat, HeldRef, Hello, JobEnded, JoinCopies, KeepObjects, KeptObject, KeyEntries, KillActor,
  LeaseGranted, LeaseRefused, LeaseRequest, LeaseReturned, LeaseRevoked, LeaveCopies, Lifetime, ListState, LogLines, LogPart,
  LookUpProcess, LostObject, Metrics, NameObject, NodeDied, NodeReport, Note, ObjectGrant, ObjectsEnded, ObjectsOpened, OpenScope,
  Ping, PlaceActor, Pong, ProcessDied, PushTask, ReadChunk, ReadKeys, ReadLog, ReadStack, Refused, RegisteredJob,
  RegisteredNode, RegisterJob, RegisterNode, Relay, RelayClosed, RemoveGroup, ReserveBundles, ResolveActor, Resolved, Resumed,
  SlabGrant, StackTold, StartThread, StateRows, Stored, Strategy, StreamHanded, StreamItem, StreamPosition, StreamPull,
  StreamTaken, Subscribe, Suspended, TaskDone, Template, ThreadEnded, Unname, Welcome, WriteChunk,
} from "../../proto/generated/contract.ts";
