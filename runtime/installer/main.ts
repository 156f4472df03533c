// The installer's program: runs npm for an environment of its agent's node, and ends with the agent whatever happens.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import type { InstallerConfig } from "../environment/index.ts";
import { readConfig } from "../lifeline-config.ts";
import { watchLifeline } from "../lifeline.ts";

const { folder, npmArgs } = readConfig<InstallerConfig>();
watchLifeline({ watched: true, path: folder });

// The npm of the Node that the workers run in, so that what it builds fits them.
const beside = dirname(process.execPath);
const npm = existsSync(join(beside, "npm")) ? join(beside, "npm") : "npm";
const env = { ...process.env, PATH: `${beside}${delimiter}${process.env.PATH ?? ""}` };
const child = spawn(npm, npmArgs, { cwd: folder, env, stdio: ["ignore", "inherit", "inherit"] });
child.on("error", (error) => {
  process.stderr.write(`${npm} can't be run: ${error.message}. Install npm, or put it on the PATH of the agent\n`);
  process.exit(127);
});
child.on("exit", (code) => process.exit(code ?? 1));
