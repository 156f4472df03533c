// What a program loads before its first line runs: no package but the wire's, and none of Node's larger modules. They are
// imported on first need, which most programs never have: a worker that only runs tasks parses no code and has no gRPC.

import { posix } from "node:path";
import { type Import, importsOf } from "./layers.ts";
import type { Problem, SourceFile } from "./source.ts";

/** The wire is code over it. */
const NEEDED: ReadonlySet<string> = new Set(["protobufjs/minimal.js"]);
const LARGE = /^node:(inspector|http|http2|https|tls|worker_threads|repl|test|sqlite)\b/;

/** Programs of the runtime, and what users import. */
export function isMain(path: string): boolean {
  return /^runtime\/[^/]+\/main\.ts$/.test(path) || path === "sdk/index.ts";
}

/** Of everything that `main` loads, `read` giving the files. */
export function startUpProblems(main: string, read: (path: string) => SourceFile): Problem[] {
  const problems: Problem[] = [];
  const queue = [main];
  const seen = new Set(queue);
  for (const path of queue) {
    for (const { specifier, line } of importsOf(read(path)).filter((one) => isLoaded(one, path === main))) {
      const target = posix.join(posix.dirname(path), specifier);
      if (!specifier.startsWith(".")) {
        const isSmall = specifier.startsWith("node:") && !LARGE.test(specifier);
        const text = `${specifier} is loaded when ${main} starts; import it on first need`;
        if (!isSmall && !NEEDED.has(specifier)) problems.push({ path, line, text });
      } else if (!seen.has(target)) {
        seen.add(target);
        queue.push(target);
      }
    }
  }
  return problems;
}

/** What a main imports by import() it imports always: it only does something else first. */
function isLoaded({ typeOnly, dynamic }: Import, inMain: boolean): boolean {
  return !typeOnly && (!dynamic || inMain);
}

/** All files that a program can come to run: also what it imports on first need. */
export function filesReachedFrom(main: string, read: (path: string) => SourceFile): Set<string> {
  const reached = new Set([main]);
  for (const path of reached) {
    for (const { specifier, typeOnly } of importsOf(read(path))) {
      if (specifier.startsWith(".") && !typeOnly) reached.add(posix.join(posix.dirname(path), specifier));
    }
  }
  return reached;
}
