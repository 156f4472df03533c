#!/usr/bin/env node
// The command `troupe`. Plain JavaScript that old versions of Node can read too: they get a sentence and not a syntax error.

const WANTED = [20, 19];
const [major, minor] = process.versions.node.split(".").map(Number);

if (major < WANTED[0] || (major === WANTED[0] && minor < WANTED[1])) {
  process.stderr.write(`troupe needs Node.js ${WANTED.join(".")} or newer; this is ${process.versions.node}\n`);
  process.exitCode = 1;
} else {
  import("../dist/cli/main.js").then(
    ({ main }) => main(process.argv.slice(2)),
    (error) => {
      process.stderr.write(`troupe: the package can't be loaded: ${error.message}\n`);
      process.exitCode = 1;
    },
  );
}
