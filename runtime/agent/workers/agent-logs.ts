// What workers print: kept in this node's files, and brought to the driver of their job, wherever that is.
//
// A driver that does not read, because it is blocked or stopped, is sent no more than a bounded backlog: what it misses is
// counted, and told when it reads again.

import type { Channel, LogLines } from "../../transport/index.ts";
import type { AgentJobs } from "../agent-jobs.ts";
import type { LocalProcesses } from "./local-processes.ts";
import type { LogFiles } from "./log-files.ts";
import type { StackReader } from "../reports/stack-reader.ts";

const BACKLOG_BYTES = 4 * 1024 * 1024;

export interface AgentLogsParts {
  readonly files: Pick<LogFiles, "write" | "ended"> | undefined;
  readonly stacks: Pick<StackReader, "heard"> | undefined;
  readonly jobs: AgentJobs;
  readonly processes: LocalProcesses;
  readonly connect: (node: string) => Promise<Channel>;
}

export class AgentLogs {
  readonly #parts: AgentLogsParts;
  /** Lines dropped since the last that was sent. */
  readonly #dropped = new WeakMap<Channel, number>();

  constructor(parts: AgentLogsParts) {
    this.#parts = parts;
  }

  /** By a worker of this node. */
  printed(lines: LogLines): void {
    const { files, stacks, jobs, connect } = this.#parts;
    // What an inspector says that was opened to read a stack is not the worker's.
    if (lines.stderr && lines.lines.every((line) => stacks?.heard(lines.process, line))) return;
    files?.write(lines.process, lines.lines);
    this.arrived(lines);
    const node = jobs.elsewhere(lines);
    // A driver out of reach has ended or will be told so; its log lines have no reader.
    if (node !== undefined) connect(node).then((channel) => this.#send(channel, lines), () => {});
  }

  /** Of a job whose driver may be on this node. */
  arrived(lines: LogLines): void {
    for (const { peer, channel } of this.#parts.processes.values()) {
      if (peer.kind === "driver" && this.#parts.jobs.ofDriver(peer.processId) === lines.jobId) this.#send(channel, lines);
    }
  }

  /** The worker prints nothing any more. */
  ended(process: string): void {
    this.#parts.files?.ended(process);
  }

  #send(channel: Channel, body: LogLines): void {
    const dropped = this.#dropped.get(channel) ?? 0;
    if (channel.bufferedBytes > BACKLOG_BYTES) {
      this.#dropped.set(channel, dropped + body.lines.length);
      return;
    }
    if (dropped === 0) return channel.send("logLines", body);
    this.#dropped.delete(channel);
    const told = `(${dropped} lines were dropped: this driver did not read them in time)`;
    channel.send("logLines", { ...body, lines: [told, ...body.lines] });
  }
}
