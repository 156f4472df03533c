// One call of an actor, from its submission until its outcome was handled.

import type { ActorCallLife } from "../../core/index.ts";
import type { BoundArg, Chain, Code } from "../../transport/index.ts";
import type { LastHeartbeat } from "../tasks/heartbeats.ts";
import type { Limit } from "../tasks/limits.ts";
import type { ObjectEntry } from "../objects/object-ref.ts";
import type { RetryOn } from "../tasks/outcome.ts";

export interface MethodTemplate {
  readonly id: number;
  readonly name: string;
  readonly method: string;
  readonly numReturns: number;
  /** Of a generator: items that may be yielded and not taken; 0 for what is none. */
  readonly streamAhead: number;
  /** Concurrency group; "" for the method's own. */
  readonly group: string;
}

export class ActorCallRecord implements ActorCallLife {
  readonly number: number;
  readonly caller: number;
  readonly template: MethodTemplate;
  readonly args: Uint8Array;
  readonly codes: Code[];
  readonly bound: BoundArg[];
  readonly results: readonly ObjectEntry[];
  readonly kept: readonly ObjectEntry[];
  readonly chain: Chain;
  readonly retryOn: RetryOn;
  readonly limit: Limit | undefined;
  /** Its outcome is decided and no reply changes it; it may still run. */
  decided = false;
  ready = true;
  heartbeat: LastHeartbeat | undefined;
  stream = 0;
  order = 0;
  afterLoss = false;
  attempt = 0;
  retriesLeft: number;
  unresolved = 0;

  constructor(
    number: number,
    caller: number,
    template: MethodTemplate,
    args: { bytes: Uint8Array; codes: Code[] },
    bound: BoundArg[],
    results: readonly ObjectEntry[],
    kept: readonly ObjectEntry[],
    chain: Chain,
    retries: number,
    retryOn: RetryOn,
    limit: Limit | undefined,
  ) {
    this.number = number;
    this.caller = caller;
    this.template = template;
    this.args = args.bytes;
    this.codes = args.codes;
    this.bound = bound;
    this.results = results;
    this.kept = kept;
    this.chain = chain;
    this.retriesLeft = retries;
    this.retryOn = retryOn;
    this.limit = limit;
  }

  /** Milliseconds of the clock. */
  get submittedAt(): number {
    return this.results[0].madeAt;
  }
}
