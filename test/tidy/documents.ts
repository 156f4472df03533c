// Rules about documents: links lead somewhere, and the catalogue of errors is the one of the code.

import type { Problem } from "./source.ts";

/** Relative links of a markdown text. `exists` is asked for paths relative to the root; headings of markdown targets too. */
export function linkProblems(path: string, text: string, headingsOf: (path: string) => readonly string[] | undefined): Problem[] {
  const problems: Problem[] = [];
  const folder = path.split("/").slice(0, -1);
  let fenced = false;
  text.split("\n").forEach((line, index) => {
    if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
    if (fenced) return;
    for (const match of line.replace(/`[^`]*`/g, "").matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)) {
      const link = match[1];
      if (/^([a-z][a-z+.-]*:|\/\/)/i.test(link)) continue;
      const [target, anchor] = link.split("#");
      const file = target === "" ? path : resolve(folder, target);
      const headings = headingsOf(file);
      if (headings === undefined) problems.push({ path, line: index + 1, text: `${link} leads nowhere` });
      else if (anchor && file.endsWith(".md") && !headings.includes(anchor)) {
        problems.push({ path, line: index + 1, text: `${link}: no such heading` });
      }
    }
  });
  return problems;
}

function resolve(folder: readonly string[], target: string): string {
  const parts = target.startsWith("/") ? [] : [...folder];
  for (const part of target.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "." && part !== "") parts.push(decodeURIComponent(part));
  }
  return parts.join("/");
}

/** Anchors of a markdown text, as forges make them. */
export function headingsIn(text: string): string[] {
  const headings = text.split("\n").filter((line) => /^#{1,6} /.test(line));
  return headings.map((line) => {
    const title = line.replace(/^#+ /, "").trim().toLowerCase();
    return title.replace(/[^\p{L}\p{N} _-]/gu, "").replace(/ /g, "-");
  });
}

/** Codes that only one side has. The catalogue has one heading a code: "### `CODE`". */
export function catalogueProblems(document: string, codes: readonly string[]): Problem[] {
  const documented = [...document.matchAll(/^### `([A-Z_]+)`/gm)].map((match) => match[1]);
  const problem = (text: string): Problem => ({ path: "docs/errors.md", line: 1, text });
  return [
    ...codes.filter((code) => !documented.includes(code)).map((code) => problem(`${code} is not documented`)),
    ...documented.filter((code) => !codes.includes(code)).map((code) => problem(`${code} is no error of runtime/errors.ts`)),
    ...documented.filter((code, index) => documented.indexOf(code) < index).map((code) => problem(`${code} is there twice`)),
  ];
}
