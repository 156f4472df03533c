// The commands there are, in the order of the help. What a command needs is loaded when it is asked for, and no other's.

import type { Command } from "commander";

/** Declares its arguments, options and action on the command, which has its name and its description already. */
export type Declare = (command: Command) => void;

interface CommandSpec {
  readonly description: string;
  readonly load: () => Promise<Declare>;
}

export const COMMANDS: Readonly<Record<string, CommandSpec>> = {
  start: {
    description: "start a node on this machine: a new cluster's first one, or one more",
    load: async () => (await import("./start.ts")).declareStart,
  },
  stop: {
    description: "end all nodes that `troupe start` started on this machine for this user",
    load: async () => (await import("./stop.ts")).declareStop,
  },
  status: {
    description: "what a cluster consists of, and what of it is free",
    load: async () => (await import("./status.ts")).declareStatus,
  },
  list: {
    description: "what a cluster holds, one line each",
    load: async () => (await import("./list.ts")).declareList,
  },
  get: {
    description: "everything the cluster tells of one thing",
    load: async () => (await import("./list.ts")).declareGet,
  },
  summary: {
    description: "how many tasks of each name are in which state",
    load: async () => (await import("./list.ts")).declareSummary,
  },
  memory: {
    description: "how full the object stores are, who fills them, and the largest objects",
    load: async () => (await import("./memory.ts")).declareMemory,
  },
  explain: {
    description: "what an object, a task or an actor waits for, and where it runs",
    load: async () => (await import("./explain.ts")).declareExplain,
  },
  logs: {
    description: "what a worker printed; without an id, which logs there are",
    load: async () => (await import("./logs.ts")).declareLogs,
  },
  job: {
    description: "programs that run on the cluster",
    load: async () => (await import("./job.ts")).declareJob,
  },
  dag: {
    description: "graphs of tasks: in the files of a project, and served by the cluster",
    load: async () => (await import("./dag.ts")).declareDag,
  },
  init: {
    description: "begin a project",
    load: async () => (await import("./project.ts")).declareInit,
  },
  stack: {
    description: "the JavaScript stack of a worker, also of one that is stuck; without one, of all that are at work",
    load: async () => (await import("./stack.ts")).declareStack,
  },
  drain: {
    description: "give a node no new work, so that it can be stopped when what runs there has ended",
    load: async () => (await import("./drain.ts")).declareDrain,
  },
  "inspect-closure": {
    description: "what a function takes along to a worker: each variable, with its size and the way to it",
    load: async () => (await import("./inspect-closure.ts")).declareInspectClosure,
  },
  timeline: {
    description: "write a trace of tasks and actor calls that Perfetto and Chrome open",
    load: async () => (await import("./timeline.ts")).declareTimeline,
  },
  bench: {
    description: "measure calls, objects and actors on this machine, in private clusters",
    load: async () => (await import("./bench.ts")).declareBench,
  },
  doctor: {
    description: "look at this machine: what is wrong and what to do",
    load: async () => (await import("./doctor.ts")).declareDoctor,
  },
};
