// Puts the addon that was built for this platform where packages have theirs. Runs before the package is packed: who installs it
// needs no compiler.

import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FILE = "troupe_native.node";
const native = new URL("../native/", import.meta.url);
const folder = new URL(`prebuilds/${process.platform}-${process.arch}/`, native);

mkdirSync(folder, { recursive: true });
copyFileSync(new URL(`build/Release/${FILE}`, native), new URL(FILE, folder));
console.log(`prebuild: ${fileURLToPath(new URL(FILE, folder))}`);
