// `troupe dag …`: what there is to say. What is done about it is in dag-files.ts (graphs in the files of a project) and
// dag-runs.ts (what the cluster serves), loaded when it is asked for.

import { Argument, type Command, Option } from "commander";
import type { RunState } from "../dag/index.ts";
import { connecting, portOf } from "./option-values.ts";
import { countFrom, paramsOf, timeOf } from "./dag-values.ts";

type Action = (...given: readonly unknown[]) => Promise<void>;
const RUN_STATES: readonly RunState[] = ["queued", "running", "success", "failed", "cancelled"];
const files = () => import("./dag-files.ts");
const runs = () => import("./dag-runs.ts");

/** The action of this name, from the file that has it. */
function lazily<M extends object>(load: () => Promise<M>, name: keyof M): Action {
  return async (...args) => ((await load())[name] as Action)(...args);
}

export function declareDag(dag: Command): void {
  dag.addHelpText("after", example("test sales", "run sales", "serve dags --http 8080"));
  declareGraphs(dag);
  declareStarts(dag);
  declareRuns(dag);
  declareService(dag);
}

function example(...lines: readonly string[]): string {
  return `\nExample:\n${lines.map((line) => `  $ troupe dag ${line}`).join("\n")}`;
}
const JSON_OPTION = ["--json", "print JSON"] as const;
const PARAMS = ["--params <json>", "parameters of the run", paramsOf] as const;

function placed(command: Command): Command {
  return command.option("--dir <path>", "a file, or a folder of files, that export graphs", "dags");
}

/** Asks a service of the cluster. */
function serviced(command: Command): Command {
  return connecting(command).option("--service <name>", "the service that serves them", "default").option(...JSON_OPTION);
}

/** Files, unless a cluster is named. */
function eitherWay(command: Command): Command {
  return serviced(placed(command));
}

function waiting(command: Command): Command {
  return command.option("--wait", "show how it goes until it is over; status 1 when it fails");
}

const ELSEWHERE = "\nWith --address it is asked of the cluster that serves the graphs, else of the files in --dir.\n";

function declareGraphs(dag: Command): void {
  eitherWay(dag.command("list")).description("the graphs there are, and when each is due next")
    .addHelpText("after", ELSEWHERE + example("list --dir dags", "list --address auto --json")).action(lazily(files, "list"));
  eitherWay(dag.command("show")).description("a graph: its tasks, options and warnings").argument("<dag>", "its id")
    .option("--mermaid", "as a Mermaid flowchart")
    .addHelpText("after", ELSEWHERE + example("show sales", "show sales --mermaid > sales.mmd")).action(lazily(files, "show"));
  eitherWay(dag.command("next")).description("when a graph is due next").argument("<dag>", "its id")
    .option("--count <n>", "how many times", countFrom(1), 5)
    .addHelpText("after", ELSEWHERE + example("next sales --count 3")).action(lazily(files, "next"));
}

function declareStarts(dag: Command): void {
  placed(dag.command("test")).description("run a graph in this process, without a cluster; waits take no time")
    .argument("<dag>", "its id").option(...PARAMS)
    .option("--now <time>", "where the clock of the run stands at the start", timeOf)
    .option(...JSON_OPTION)
    .addHelpText("after", example('test sales --params \'{"day": "2026-01-01"}\'')).action(lazily(files, "test"));
  connecting(placed(dag.command("run")))
    .description("run a graph on the cluster, or on a private one where none runs, and show how it goes")
    .argument("<dag>", "its id").option(...PARAMS).option(...JSON_OPTION)
    .addHelpText("after", example("run sales", "run sales --address 127.0.0.1:6380 --json")).action(lazily(files, "run"));
  waiting(serviced(dag.command("trigger"))).description("start a run of a graph that is served; prints its id")
    .argument("<dag>", "its id").option(...PARAMS).option("--logical-date <time>", "the time it is for; default now", timeOf)
    .addHelpText("after", example("trigger sales", 'trigger sales --params \'{"day": "2026-01-01"}\' --wait'))
    .action(lazily(runs, "trigger"));
  connecting(placed(dag.command("backfill"))).description("runs for times that have passed").argument("<dag>", "its id")
    .requiredOption("--from <date>", "first time", timeOf).requiredOption("--to <date>", "last time", timeOf)
    .addOption(new Option("--reprocess <which>", "what to do about times that have a run")
      .choices(["none", "failed", "completed"]).default("none"))
    .option("--reverse", "latest first").option("--max-active-runs <n>", "runs at once", countFrom(1), 10)
    .option("--dry-run", "only say what would be done").option(...JSON_OPTION)
    .addHelpText("after", example("backfill sales --from 2026-01-01 --to 2026-01-31 --dry-run"))
    .action(lazily(files, "backfill"));
}

function declareRuns(dag: Command): void {
  const run = ["<run>", "its id, as `troupe dag runs` shows it"] as const;
  serviced(dag.command("runs")).description("runs, the newest first").argument("[dag]", "only of this graph")
    .addOption(new Option("--state <state>", "only those in this state").choices(RUN_STATES))
    .option("--limit <n>", "at most so many", countFrom(1), 100)
    .addHelpText("after", example("runs sales --state failed")).action(lazily(runs, "listRuns"));
  serviced(dag.command("tasks")).description("the tasks of a run").argument(...run)
    .addHelpText("after", example("tasks RUN --json")).action(lazily(runs, "tasks"));
  serviced(dag.command("logs")).description("what the tasks of a run have told: logs, metrics, progress, errors")
    .argument(...run).argument("[task]", "only of this task, or instance of one: train[2]")
    .option("-f, --follow", "go on until it is over")
    .addHelpText("after", example("logs RUN train --follow")).action(lazily(runs, "logs"));
  serviced(dag.command("why")).description("why a task of a run is where it is").argument(...run).argument("<task>", "its id")
    .addHelpText("after", example("why RUN train")).action(lazily(runs, "why"));
  waiting(serviced(dag.command("clear"))).description("run tasks again, and what comes after them").argument(...run)
    .option("--task <id...>", "which; default those that failed")
    .option("--no-downstream", "leave what comes after them as it is")
    .addHelpText("after", example("clear RUN --task train --wait")).action(lazily(runs, "clear"));
  waiting(serviced(dag.command("resume"))).description("run again what has not succeeded").argument(...run)
    .addHelpText("after", example("resume RUN --wait")).action(lazily(runs, "resume"));
  serviced(dag.command("mark")).description("give a task another end by hand; nothing is run for it").argument(...run)
    .argument("<task>", "its id").addArgument(new Argument("<state>", "its end").choices(["success", "failed", "skipped"]))
    .addHelpText("after", example("mark RUN train success")).action(lazily(runs, "mark"));
  serviced(dag.command("cancel")).description("end a run").argument(...run)
    .addHelpText("after", example("cancel RUN")).action(lazily(runs, "cancel"));
}

function declareService(dag: Command): void {
  serviced(dag.command("pause")).description("make no more runs of a graph by itself").argument("<dag>", "its id")
    .addHelpText("after", example("pause sales")).action(lazily(runs, "pause"));
  serviced(dag.command("unpause")).description("make runs of a graph at its times again").argument("<dag>", "its id")
    .addHelpText("after", example("unpause sales")).action(lazily(runs, "unpause"));
  serviced(dag.command("serve"))
    .description("serve the graphs of a folder: the cluster makes their runs at their times, also when this command is gone. " +
      "Where no cluster runs on this machine, a private one does it until the command is ended")
    .argument("[dir]", "a file, or a folder of files, that export graphs", "dags")
    .option("--paused", "they run when they are unpaused, or triggered")
    .option("--http <port>", "serve the HTTP API too, at this port of the machine; 0 is any free one", portOf)
    .option("--listen <host>", "address of this machine for the HTTP API; default 127.0.0.1")
    .option("--stop", "end the service instead; runs that are under way end with it")
    .addHelpText("after", example("serve dags --http 8080", "serve --stop")).action(lazily(runs, "serve"));
}
