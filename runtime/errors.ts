// Every error of Troupe, once: its stable code, what it carries, and how it crosses a process boundary as data.
//
// `instanceof` is decided by code, not by class object, so it holds across two copies of the package and across processes.
// docs/errors.md lists each code with its meaning and remedy; test/tidy.test.ts holds the two together.

/** A system error as it travels: `fields` is JSON of the error's own enumerable fields. */
export interface FailureData {
  readonly code: string;
  readonly text: string;
  readonly fields?: string | null;
  readonly cause?: FailureData | null;
  /** What user code threw, encoded: only processes of users decode it. */
  readonly thrown?: object | null;
}

const CODES = Symbol.for("troupe.error.codes");

/** Base of everything Troupe itself reports. `code` is stable; context is in own fields; the real cause is in `cause`. */
export class TroupeError extends Error {
  static readonly code: string = "TROUPE";
  readonly code: string;

  constructor(text: string, fields: Readonly<Record<string, unknown>> = {}, cause?: unknown) {
    super(text, cause === undefined ? undefined : { cause });
    this.code = (new.target as typeof TroupeError).code;
    this.name = new.target.name;
    Object.assign(this, fields);
    Object.defineProperty(this, CODES, { value: codesOf(new.target as typeof TroupeError) });
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false;
    const codes = (value as Record<symbol, unknown>)[CODES];
    // A user's subclass has no code of its own: there the class itself decides.
    if (Array.isArray(codes) && Object.hasOwn(this, "code")) return codes.includes(this.code);
    return Function.prototype[Symbol.hasInstance].call(this, value);
  }
}

function codesOf(type: typeof TroupeError): string[] {
  const codes: string[] = [];
  for (let at: typeof TroupeError | null = type; typeof at === "function" && "code" in at; at = Object.getPrototypeOf(at)) {
    codes.push(at.code);
  }
  return codes;
}

// -- objects ---------------------------------------------------------------------------------------------------------

/** An object's bytes are gone and cannot be made again. */
export class ObjectLostError extends TroupeError {
  static override readonly code: string = "OBJECT_LOST";
  declare readonly objectId: string;
}
/** The process that owned the object ended, and its objects with it. */
export class OwnerDiedError extends ObjectLostError { static override readonly code: string = "OWNER_DIED"; }
export class ReconstructionFailedError extends ObjectLostError {
  static override readonly code: string = "RECONSTRUCTION_FAILED";
}
export class ObjectFetchTimeoutError extends ObjectLostError { static override readonly code: string = "OBJECT_FETCH_TIMEOUT"; }
/** The ref or handle was released or freed before it was used. */
export class ObjectFreedError extends ObjectLostError {
  static override readonly code: string = "OBJECT_FREED";
  /** Handles were released or dropped, somebody called `free`, its `ttlMs` was over, or its scope was freed. */
  declare readonly freedBy: "release" | "free" | "ttl" | "scope";
}
export class ObjectStoreFullError extends TroupeError { static override readonly code: string = "OBJECT_STORE_FULL"; }
export class OutOfDiskError extends TroupeError { static override readonly code: string = "OUT_OF_DISK"; }
/** A ref was used where its value was meant: `await get(ref)`. */
export class RefUsedAsValueError extends TroupeError { static override readonly code: string = "REF_USED_AS_VALUE"; }

// -- tasks -----------------------------------------------------------------------------------------------------------

/** User code threw. It is also an instance of the thrown error's class, keeps its fields, and shows the remote stack. */
export class TaskError extends TroupeError {
  static override readonly code: string = "TASK_ERROR";
  declare readonly taskName: string;
  declare readonly taskId: string;
  declare readonly workerPid: number;
  declare readonly nodeId: string;
}
/** The worker process ended while it ran the task, and no retry was left. */
export class WorkerCrashedError extends TroupeError {
  static override readonly code: string = "WORKER_CRASHED";
  declare readonly exitCode: number | undefined;
  declare readonly signal: string | undefined;
  declare readonly stderrTail: readonly string[];
  declare readonly reason: string;
}
export class NodeDiedError extends TroupeError {
  static override readonly code: string = "NODE_DIED";
  declare readonly nodeId: string;
}
/** Memory ran out under the task: its node's, and its worker was ended by the agent or the kernel, or its process's own heap. */
export class OutOfMemoryError extends TroupeError {
  static override readonly code: string = "OUT_OF_MEMORY";
  declare readonly kind: "node" | "heap";
  declare readonly nodeId: string;
  declare readonly stderrTail: readonly string[];
}
export class TaskCancelledError extends TroupeError { static override readonly code: string = "TASK_CANCELLED"; }
export class TaskTimeoutError extends TroupeError { static override readonly code: string = "TASK_TIMEOUT"; }
export class GetTimeoutError extends TroupeError { static override readonly code: string = "GET_TIMEOUT"; }
/** No node, also not an idle one, can ever hold what was asked for. */
export class InfeasibleError extends TroupeError { static override readonly code: string = "INFEASIBLE"; }
export class PlacementGroupRemovedError extends TroupeError { static override readonly code: string = "PLACEMENT_GROUP_REMOVED"; }
/** Why a worker was ended, as data: what ran there belonged to a placement group that is gone. */
export const GROUP_REMOVED = "group-removed";
/** The same of one that ended for want of memory, its node's or its own heap's. */
export const OUT_OF_MEMORY = "out-of-memory";

// -- actors ----------------------------------------------------------------------------------------------------------

export class ActorError extends TroupeError {
  static override readonly code: string = "ACTOR_ERROR";
  declare readonly actorId: string;
}
/** The actor will never answer again. */
export class ActorDiedError extends ActorError { static override readonly code: string = "ACTOR_DIED"; }
/** The actor is restarting or out of reach; the call may or may not have run. */
export class ActorUnavailableError extends ActorError { static override readonly code: string = "ACTOR_UNAVAILABLE"; }
/** Code of an actor that has ended in a process that lives on, because others share it. */
export class ActorFencedError extends ActorError { static override readonly code: string = "ACTOR_FENCED"; }
export class ActorDeadlockError extends ActorError { static override readonly code: string = "ACTOR_DEADLOCK"; }
export class PendingCallsLimitExceededError extends ActorError {
  static override readonly code: string = "PENDING_CALLS_LIMIT_EXCEEDED";
}
export class NameTakenError extends TroupeError { static override readonly code: string = "NAME_TAKEN"; }

// -- what was handed in ----------------------------------------------------------------------------------------------

/** A value cannot travel. `path` leads to it: `args[0].items[3].cb`. */
export class SerializationError extends TroupeError {
  static override readonly code: string = "SERIALIZATION";
  declare readonly path: string;
}
/**
 * A function or class cannot travel. `code`, and `captureCode`, is one of the CAPTURE_* codes, which says why; `path` leads from
 * the function to the value.
 */
export class CaptureError extends TroupeError {
  static override readonly code: string = "CAPTURE";
  declare readonly captureCode: string;
  declare readonly variable: string;
  declare readonly path: readonly string[];
}
/** A function was shipped, and a worker that needs it can't get its code. Not retried: no worker could. */
export class CodeUnavailableError extends TroupeError {
  static override readonly code: string = "CODE_UNAVAILABLE";
  declare readonly codeId: string;
  declare readonly functionName: string;
}
/** The functions of a job take more than the cluster keeps for one. */
export class CodeStoreFullError extends TroupeError {
  static override readonly code: string = "CODE_STORE_FULL";
  declare readonly functionName: string;
}
export class RuntimeEnvSetupError extends TroupeError { static override readonly code: string = "RUNTIME_ENV_SETUP"; }
export class InvalidArgumentError extends TroupeError { static override readonly code: string = "INVALID_ARGUMENT"; }
export class NotFoundError extends TroupeError { static override readonly code: string = "NOT_FOUND"; }
export class NotInitializedError extends TroupeError { static override readonly code: string = "NOT_INITIALIZED"; }
export class AlreadyInitializedError extends TroupeError { static override readonly code: string = "ALREADY_INITIALIZED"; }

// -- the cluster -----------------------------------------------------------------------------------------------------

export class AuthenticationError extends TroupeError { static override readonly code: string = "AUTHENTICATION"; }
export class PermissionDeniedError extends TroupeError { static override readonly code: string = "PERMISSION_DENIED"; }
export class HeadUnavailableError extends TroupeError { static override readonly code: string = "HEAD_UNAVAILABLE"; }
/** Two processes speak different protocol versions. Both are in the message. */
export class VersionMismatchError extends TroupeError { static override readonly code: string = "VERSION_MISMATCH"; }
/** A Queue takes nothing in any more, and has nothing left. */
export class QueueClosedError extends TroupeError { static override readonly code: string = "QUEUE_CLOSED"; }
/** A connection inside the cluster broke or was refused. */
export class ConnectionError extends TroupeError { static override readonly code: string = "CONNECTION"; }
/** A call inside the cluster got no answer within its bound. */
export class DeadlineError extends TroupeError { static override readonly code: string = "DEADLINE"; }

// -- orchestration ---------------------------------------------------------------------------------------------------

/** The graph itself is wrong: a cycle, an unknown id, a value used before it is there. Thrown while it is built. */
export class GraphError extends InvalidArgumentError { static override readonly code: string = "GRAPH"; }
/** A run of a graph ended without success. */
export class DagRunFailedError extends TroupeError {
  static override readonly code: string = "DAG_RUN_FAILED";
  declare readonly runId: string;
  /** What failed by itself; what only lay after it is not among them. */
  declare readonly failures: readonly { readonly taskId: string; readonly error: unknown }[];
}

const ALL: readonly (typeof TroupeError)[] = [
  TroupeError, ObjectLostError, OwnerDiedError, ReconstructionFailedError, ObjectFetchTimeoutError, ObjectFreedError,
  ObjectStoreFullError, OutOfDiskError, RefUsedAsValueError, TaskError, WorkerCrashedError, NodeDiedError, OutOfMemoryError,
  TaskCancelledError, TaskTimeoutError, GetTimeoutError, InfeasibleError, PlacementGroupRemovedError, ActorError, ActorDiedError,
  ActorUnavailableError, ActorFencedError, ActorDeadlockError, PendingCallsLimitExceededError, NameTakenError, QueueClosedError,
  SerializationError, CaptureError, CodeUnavailableError, CodeStoreFullError, RuntimeEnvSetupError, InvalidArgumentError,
  NotFoundError, NotInitializedError, AlreadyInitializedError, AuthenticationError, PermissionDeniedError,
  HeadUnavailableError, VersionMismatchError, ConnectionError, DeadlineError, GraphError, DagRunFailedError,
];
const BY_CODE = new Map(ALL.map((type) => [type.code, type]));

/** Every code, for documentation and its test. */
export const ERROR_CODES: readonly string[] = ALL.map((type) => type.code);

/** The class of a code; TroupeError for one that a newer release knows and this one does not. */
export function errorClassOf(code: string): typeof TroupeError {
  return BY_CODE.get(code) ?? (code.startsWith(`${CaptureError.code}_`) ? CaptureError : TroupeError);
}

const CAUSE_DEPTH_MAX = 8;

/** Any thrown value as data, without user values: what the control plane sends. */
export function failureOf(error: unknown, depth = 0): FailureData {
  if (!(error instanceof Error)) return { code: "TROUPE", text: String(error) };
  const { code, message, stack: _stack, cause, name: _name, ...fields } = error as TroupeError & Record<string, unknown>;
  return {
    code: error instanceof TroupeError ? error.code : "TROUPE",
    text: error instanceof TroupeError ? error.message : `${error.name}: ${error.message}`,
    fields: Object.keys(fields).length === 0 ? null : JSON.stringify(fields),
    cause: error.cause === undefined || depth >= CAUSE_DEPTH_MAX ? null : failureOf(error.cause, depth + 1),
  };
}

/** The typed error again. Unknown codes become a TroupeError that keeps its text. `decode` gives what user code threw. */
export function errorOf(failure: FailureData, decode?: (thrown: object) => TroupeError | undefined): TroupeError {
  const thrown = failure.thrown && decode?.(failure.thrown);
  if (thrown) return thrown;
  const fields = failure.fields ? (JSON.parse(failure.fields) as Record<string, unknown>) : {};
  const cause = failure.cause ? errorOf(failure.cause, decode) : undefined;
  const type = errorClassOf(failure.code);
  return new type(failure.text, type === CaptureError ? { ...fields, code: failure.code } : fields, cause);
}
