// The house rules, held by a program: every rule is checked on the whole project, and on a bad sample that it must find.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ERROR_CODES } from "../runtime/errors.ts";
import { catalogueProblems, headingsIn, linkProblems } from "./tidy/documents.ts";
import { importsOf, layerProblems } from "./tidy/layers.ts";
import {
  anyProblems, clockProblems, exportProblems, functionsOf, leftoverProblems, nameProblems, pureProblems, sizeProblems,
  testProblems,
} from "./tidy/rules.ts";
import { filesReachedFrom, isMain, startUpProblems } from "./tidy/start-up.ts";
import { codeOf, filesUnder, type Problem, readSource, ROOT, sourceOf } from "./tidy/source.ts";

const sources = filesUnder("", /\.(ts|mjs|js)$/).map(readSource);
const typescript = sources.filter(({ path }) => path.endsWith(".ts"));
const documents = filesUnder("", /\.md$/);

function shown(problems: readonly Problem[]): string[] {
  return problems.map(({ path, line, text }) => `${path}:${line} ${text}`);
}

const texts = (problems: readonly Problem[]): string[] => problems.map(({ text }) => text);

describe("who imports whom", () => {
  test("arrows point one way, and folders are entered through index.ts", () => {
    expect(shown(typescript.flatMap(layerProblems))).toEqual([]);
  });

  test.each([
    ["runtime/store/pages.ts", "../agent/index.ts", "which lies above it"],
    ["runtime/agent/agent.ts", "../../sdk/index.ts", "which lies above it"],
    ["sdk/init.ts", "../cli/main.ts", "which lies above it"],
    ["sdk/init.ts", "../test/fixtures.ts", "which lies above it"],
    ["scheduler/select.ts", "../runtime/errors.ts", "scheduler/ imports only itself"],
    ["runtime/core/task-life.ts", "../transport/index.ts", "runtime/core/ imports only itself"],
    ["native/index.ts", "../runtime/errors.ts", "which lies above it"],
    ["sdk/init.ts", "../runtime/owner/links.ts", "past the index.ts"],
    ["runtime/agent/agent.ts", "../../scheduler/lease-queue.ts", "past the index.ts"],
    ["sdk/init.ts", "../../elsewhere.ts", "outside the project"],
  ])("finds %s importing %s", (path, specifier, text) => {
    const file = sourceOf(path, `import { a } from "${specifier}";\n`);
    expect(texts(layerProblems(file))).toEqual([expect.stringContaining(text)]);
  });

  test.each([
    ["runtime/agent/agent.ts", "../../scheduler/index.ts"], ["runtime/worker/worker.ts", "../owner/index.ts"],
    ["scheduler/policy/spread.ts", "../resources.ts"], ["runtime/owner/links.ts", "../transport/channel.ts"],
    ["runtime/closure/capture.ts", "../serialize/contract.ts"], ["test/unit/any.test.ts", "../../scheduler/lease-queue.ts"],
    ["runtime/transport/frame.ts", "../../proto/generated/troupe.ts"],
  ])("allows %s importing %s", (path, specifier) => {
    expect(layerProblems(sourceOf(path, `export type { A } from "${specifier}";`))).toEqual([]);
  });

  test("sees every form of import, and none in a comment", () => {
    const text = [
      `import a, { b } from "./1.ts";`, `import type { c } from './2.ts';`, `export * from "./3.ts";`, `import "./4.ts";`,
      `const d = await import("./5.ts");`, `import {\n  e,\n  f,\n} from "./6.ts";`, `// import g from "./7.ts";`,
    ].join("\n");
    expect(importsOf(sourceOf("a.ts", text)).map(({ specifier }) => specifier[2]).join("")).toBe("123456");
  });
});

describe("start-up", () => {
  const mains = typescript.map(({ path }) => path).filter(isMain);

  test("packages and Node's larger modules are imported on first need", () => {
    expect(mains).toEqual(expect.arrayContaining(["runtime/agent/main.ts", "runtime/worker/main.ts", "sdk/index.ts"]));
    expect(shown(mains.flatMap((main) => startUpProblems(main, readSource)))).toEqual([]);
  });

  test("finds what is loaded at once, however far away, and nothing else", () => {
    const files: Record<string, string> = {
      "a/main.ts": `import type { T } from "acorn";\nimport { b } from "../b.ts";\nawait import("./c.ts");\n`,
      "b.ts": `import "node:fs";\nimport { p } from "piscina";\nconst late = () => import("@grpc/grpc-js");\n`,
      "a/c.ts": `export * from "../b.ts";\nimport inspector from "node:inspector";\nconst d = import("./missing.ts");\n`,
    };
    const problems = startUpProblems("a/main.ts", (path) => sourceOf(path, files[path]));
    expect(shown(problems).map((text) => text.split(" ", 2).join(" "))).toEqual(["b.ts:2 piscina", "a/c.ts:2 node:inspector"]);
  });
});

describe("values", () => {
  const decoder = "runtime/serialize/decoder.ts";

  test("neither the head nor an agent has what decodes them", () => {
    for (const main of ["runtime/head/main.ts", "runtime/agent/main.ts"]) {
      expect(filesReachedFrom(main, readSource), main).not.toContain(decoder);
    }
  });

  test("workers and programs of users have it: it would be found", () => {
    for (const main of ["runtime/worker/main.ts", "sdk/index.ts"]) expect(filesReachedFrom(main, readSource)).toContain(decoder);
  });
});

describe("purity", () => {
  test("runtime/core and scheduler neither act nor ask the time", () => {
    expect(shown(typescript.flatMap(pureProblems))).toEqual([]);
  });

  test("runtime takes clock and randomness through the seams", () => {
    expect(shown(typescript.flatMap(clockProblems))).toEqual([]);
  });

  test("finds each of them", () => {
    const clocks = "setTimeout(f); Date.now(); Math.random(); performance.now();";
    const text = `import fs from "node:fs";\n${clocks} process.exit(); new Date();\n`;
    expect(pureProblems(sourceOf("scheduler/a.ts", text))).toHaveLength(7);
    expect(clockProblems(sourceOf("runtime/agent/a.ts", text))).toHaveLength(4);
    expect(clockProblems(sourceOf("runtime/agent/a.ts", `clock.setTimeout(); "Date.now()"; // Math.random()`))).toEqual([]);
  });
});

describe("size", () => {
  test("files, functions and lines stay short", () => {
    expect(shown(sources.flatMap(sizeProblems))).toEqual([]);
  });

  test("finds what is too long", () => {
    const long = (lines: number): string => "  a();\n".repeat(lines);
    expect(texts(sizeProblems(sourceOf("a.ts", "//\n".repeat(501))))).toEqual(["501 lines; at most 500"]);
    expect(texts(sizeProblems(sourceOf("a.ts", `${"x".repeat(131)}\n`)))).toEqual(["131 columns; at most 130"]);
    for (const head of ["function f(a: A): B {", "export async function* f(\n  a: A,\n): B {", "const f = (a) => {"]) {
      expect(texts(sizeProblems(sourceOf("a.ts", `${head}\n${long(70)}}\n`)))[0]).toContain("a function of 7");
      expect(sizeProblems(sourceOf("a.ts", `${head}\n${long(65)}}\n`))).toEqual([]);
    }
    const method = `class A {\n  static async #f<T>(a: T): Promise<void> {\n${"    a();\n".repeat(70)}  }\n}\n`;
    expect(functionsOf(sourceOf("a.ts", method))).toEqual([{ line: 2, length: 72 }]);
  });
});

describe("text", () => {
  test("no default exports", () => {
    expect(shown(typescript.flatMap(exportProblems))).toEqual([]);
    expect(exportProblems(sourceOf("a.ts", "export default 1;\nexport { a as default };"))).toHaveLength(2);
  });

  test("no any in what is exported", () => {
    expect(shown(typescript.filter(({ path }) => !path.startsWith("test/")).flatMap(anyProblems))).toEqual([]);
    const bad = [
      "export function f(a: any): void {}", "export interface A {\n  a: Map<string, any>;\n}", "export type B = any[];",
      "export class C {\n  m(a: string): any {}\n}", "export const d = (a: any): void => {};",
    ];
    for (const text of bad) expect(anyProblems(sourceOf("a.ts", text)), text).toHaveLength(1);
    const good = "function f(a: any) {}\nexport class C {\n  #m(a: any) {}\n  n(): void {\n    let a: any;\n  }\n}\n// any\n";
    expect(anyProblems(sourceOf("a.ts", good))).toEqual([]);
  });

  test("nothing is left over", () => {
    expect(shown(sources.flatMap(leftoverProblems))).toEqual([]);
    const bad = `// ${"TO" + "DO"}: later\ntry { a(); } catch {}\ntry { b(); } catch (error) {\n}\n`;
    expect(leftoverProblems(sourceOf("a.ts", bad))).toHaveLength(3);
    expect(leftoverProblems(sourceOf("a.ts", "try { a(); } catch {\n  // It may be gone already.\n}"))).toEqual([]);
  });

  test("every test runs", () => {
    expect(shown(typescript.flatMap(testProblems))).toEqual([]);
    const bad = "test.only('a');\ndescribe.skip('b');\nit.concurrent.skip('c');\ntest.todo('d');";
    expect(testProblems(sourceOf("test/a.test.ts", bad))).toHaveLength(4);
  });

  test("files are named after what they are", () => {
    const named = [...sources.map(({ path }) => path), ...filesUnder("native", /\.[ch]$/)];
    expect(shown(named.flatMap(nameProblems).filter(({ path }) => !path.endsWith(".c") && !path.endsWith(".h")))).toEqual([]);
    expect(nameProblems("runtime/utils.ts")).toHaveLength(1);
    expect(nameProblems("sdk/string-util.test.ts")).toHaveLength(1);
    expect(nameProblems("sdk/ObjectRef.ts")).toHaveLength(1);
  });

  test("code is told from comments, strings, templates and expressions", () => {
    const text = "a('b'); // c\n`d ${e + `f ${g}`} h`; /i\"/.test(j); k = 1 / 2; /* l\n */ m = n / o;";
    expect(codeOf(text).replace(/\s+/g, "")).toBe("a();e+g;.test(j);k=1/2;m=n/o;");
    expect(codeOf(text)).toHaveLength(text.length);
  });
});

describe("documents", () => {
  const headings = (path: string): readonly string[] | undefined => {
    const full = join(ROOT, path);
    if (!existsSync(full)) return undefined;
    return statSync(full).isFile() && path.endsWith(".md") ? headingsIn(readFileSync(full, "utf8")) : [];
  };

  test("links lead somewhere", () => {
    expect(shown(documents.flatMap((path) => linkProblems(path, readFileSync(join(ROOT, path), "utf8"), headings)))).toEqual([]);
  });

  test("finds broken ones", () => {
    const known = (path: string): readonly string[] | undefined => (path === "docs/a.md" ? ["one-two"] : undefined);
    const text = "[x](a.md) [x](b.md) [x](a.md#one-two) [x](a.md#three) `[x](c.md)`\n```\n[x](d.md)\n```\n[x](https://e.invalid)";
    expect(texts(linkProblems("docs/z.md", text, known))).toEqual(["b.md leads nowhere", "a.md#three: no such heading"]);
    expect(headingsIn("# One, *two*\n## `THREE_4` (five)")).toEqual(["one-two", "three_4-five"]);
  });

  test("every error is documented, and nothing else is", () => {
    expect(shown(catalogueProblems(readFileSync(join(ROOT, "docs/errors.md"), "utf8"), ERROR_CODES))).toEqual([]);
    const found = texts(catalogueProblems("### `A`\n### `B`\n### `B`\n### `D`\n", ["A", "B", "C"]));
    expect(found.map((text) => text[0]).join("")).toBe("CDB");
  });
});

test("generated code is what its source says", () => {
  const checked = spawnSync(process.execPath, ["scripts/generate-proto.mjs", "--check"], { cwd: ROOT, encoding: "utf8" });
  expect([checked.status, checked.stderr]).toEqual([0, ""]);
});
