// A worker that is started before its agent exists: keeps what it does until the agent adopts it.

import { randomBytes } from "node:crypto";
import type { ChildExit, ChildProcess, Spawner } from "../../seams.ts";
import type { AgentConfig, WorkerConfig } from "../config.ts";

interface Keeper {
  onLine(stream: "stdout" | "stderr", line: string): void;
  onExit(exit: ChildExit): void;
}

export class EarlyWorker {
  readonly process = randomBytes(8).toString("hex");
  readonly child: ChildProcess;
  #keeper: Keeper | undefined;
  #said: ((keeper: Keeper) => void)[] = [];

  constructor(spawner: Spawner, { clusterId, token, nodeId, sessionDir }: AgentConfig) {
    const config: WorkerConfig = { clusterId, token, nodeId, sessionDir, processId: this.process };
    this.child = spawner.spawn({
      program: "worker",
      config,
      onLine: (stream, line) => this.#tell((keeper) => keeper.onLine(stream, line)),
      onExit: (exit) => this.#tell((keeper) => keeper.onExit(exit)),
    });
  }

  adoptedBy(keeper: Keeper): void {
    this.#keeper = keeper;
    const said = this.#said;
    this.#said = [];
    for (const tell of said) tell(keeper);
  }

  #tell(tell: (keeper: Keeper) => void): void {
    if (this.#keeper === undefined) this.#said.push(tell);
    else tell(this.#keeper);
  }
}
