// Which command line options a worker may be started with: all but those that make it something else than a worker.

/** Options after which Node runs other code than the worker's program, or none, or cannot load what the worker needs. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ...["-e", "--eval", "-p", "--print", "-c", "--check", "-i", "--interactive", "-", "--", "-v", "--version", "-h", "--help",
    "--run", "--test", "--watch", "--watch-path", "--v8-options", "--prof-process", "--completion-bash", "--build-snapshot",
    "--build-snapshot-config", "--build-sea", "--experimental-sea-config", "--input-type", "--experimental-default-type",
    "--snapshot-blob", "--entry-url"].map((name) => [name, "it makes Node run something else than the worker"] as const),
  ...["--inspect-brk", "--inspect-wait"].map((name) => [name, "the worker would wait for a debugger; use --inspect=0"] as const),
  ...["--no-addons", "--permission", "--experimental-permission", "--policy-integrity", "--experimental-policy"]
    .map((name) => [name, "the worker can't load what it needs with it"] as const),
  ["--title", "the process is named by the runtime"],
]);

/** Options that, without a value of their own, would take the worker's program for it. */
const NEEDS_VALUE = /^--(?:import|require|loader|experimental-loader|env-file|env-file-if-exists|conditions|localstorage-file)$/;

/** What is wrong with one option; undefined when a worker can be started with it. */
export function nodeArgProblem(arg: string): string | undefined {
  if (!arg.startsWith("-")) return `${JSON.stringify(arg)} is no option; an option and its value are one text: --name=value`;
  if (/[\0\n\r]/.test(arg)) return `${JSON.stringify(arg)} has a line break or zero byte`;
  const name = arg.split("=", 1)[0];
  // Node takes both _ and - between the words of an option.
  const why = REFUSED.get(name.startsWith("--") ? name.replaceAll("_", "-") : name);
  if (why !== undefined) return `${name} is not possible: ${why}`;
  if (/^--test-/.test(name)) return `${name} is not possible: it makes Node run something else than the worker`;
  // A short option would take the worker's program for its value; several short ones can hide any of those above.
  if (!name.startsWith("--")) return `${name} is not possible: write the long form as --name=value`;
  return NEEDS_VALUE.test(arg) ? `${name} needs a value: write ${name}=value` : undefined;
}
