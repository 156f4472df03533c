// A reporter for people and machines in a hurry: each skipped test with its reason, and one last line that says it all.
//
//   12 passed, 0 failed, 0 skipped
//
// A file that cannot even be loaded counts as one failed test. In CI a skipped test fails the run: there is no machine later on
// which it would be run.

import type { SerializedError } from "vitest";
import type { Reporter, TestModule } from "vitest/node";

export class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0 };
    for (const module of modules) {
      let tests = 0;
      for (const test of module.children.allTests()) {
        tests += 1;
        const result = test.result();
        if (result.state === "passed") counts.passed += 1;
        else if (result.state === "failed") counts.failed += 1;
        else {
          counts.skipped += 1;
          const reason = result.state === "skipped" && result.note !== undefined ? result.note : "no reason given";
          console.log(`skipped: ${module.relativeModuleId} > ${test.fullName}: ${reason}`);
        }
      }
      if (module.errors().length > 0 && (tests === 0 || module.state() === "failed")) counts.failed += 1;
    }
    if (process.env.CI !== undefined && counts.skipped > 0) {
      console.log("a skipped test fails the run in CI");
      process.exitCode = 1;
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  }
}
