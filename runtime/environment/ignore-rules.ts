// Which files of a folder are left out, by the patterns of .gitignore files.
//
// The last pattern that fits a path decides, and those of a deeper folder go before those above it. What is in a folder that is
// left out is left out with it.

interface Rule {
  readonly pattern: RegExp;
  readonly isFolderOnly: boolean;
  readonly isKept: boolean;
}

/** The rules of one file, for paths below its folder. */
interface RuleSet {
  /** Path of that folder with a slash at its end, "" for the top. */
  readonly below: string;
  readonly rules: readonly Rule[];
}

/** Rules in force in one folder: those of the folders above and its own. */
export class IgnoreRules {
  readonly #sets: readonly RuleSet[];

  private constructor(sets: readonly RuleSet[]) {
    this.#sets = sets;
  }

  /** In force at the top, unless a file there says otherwise. */
  static of(patterns: readonly string[]): IgnoreRules {
    return new IgnoreRules([{ below: "", rules: rulesOf(patterns.join("\n")) }]);
  }

  /** With those of a file in the folder `below`. */
  with(below: string, text: string): IgnoreRules {
    return new IgnoreRules([...this.#sets, { below, rules: rulesOf(text) }]);
  }

  isIgnored(path: string, isFolder: boolean): boolean {
    for (let at = this.#sets.length - 1; at >= 0; at -= 1) {
      const { below, rules } = this.#sets[at];
      const found = rules.findLast((rule) => (isFolder || !rule.isFolderOnly) && rule.pattern.test(path.slice(below.length)));
      if (found !== undefined) return !found.isKept;
    }
    return false;
  }
}

function rulesOf(text: string): Rule[] {
  return text.split(/\r?\n/).map(ruleOf).filter((rule) => rule !== undefined);
}

function ruleOf(line: string): Rule | undefined {
  // Spaces at the end count only after a backslash.
  let pattern = line.replace(/((?:^|[^\\])(?:\\\\)*)\s+$/, "$1");
  if (pattern.startsWith("#")) return undefined;
  const isKept = pattern.startsWith("!");
  if (isKept) pattern = pattern.slice(1);
  const isFolderOnly = pattern.endsWith("/");
  if (isFolderOnly) pattern = pattern.slice(0, -1);
  if (pattern === "") return undefined;
  // A slash that is not the last character ties the pattern to the folder of its file.
  const isTied = pattern.includes("/");
  const body = regexOf(pattern.startsWith("/") ? pattern.slice(1) : pattern);
  return { pattern: new RegExp(`^${isTied ? "" : "(?:.*/)?"}${body}$`, "s"), isFolderOnly, isKept };
}

/** One construct of a pattern at a time, longest first. */
const TOKEN = /^\*\*\/|\/\*\*\/|\/\*\*$|\*+|\?|\[(?:!|\^)?\]?(?:\\.|[^\]\\])*\]|\\.|[^]/g;

function regexOf(pattern: string): string {
  return pattern.replace(TOKEN, (token) => {
    if (token === "**/") return "(?:.*/)?";
    if (token === "/**/") return "/(?:.*/)?";
    if (token === "/**") return "/.*";
    if (token.startsWith("*")) return "[^/]*";
    if (token === "?") return "[^/]";
    if (token.length > 1 && token.startsWith("[")) return setOf(token.slice(1, -1));
    return literal(token.length > 1 ? token.slice(1) : token);
  });
}

function setOf(body: string): string {
  const isNegated = /^[!^]/.test(body);
  const members = isNegated ? body.slice(1) : body;
  const escaped = members.replace(/\\(.)|[[\]^\\]/g, (found, character?: string) => `\\${character ?? found}`);
  return `(?!/)[${isNegated ? "^" : ""}${escaped}]`;
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
