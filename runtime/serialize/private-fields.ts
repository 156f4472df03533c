// Finds out whether instances of a class hold what no code outside the class can read: `#private` names of the language, or
// those that compilers turn into weak maps. A copy without them would be broken, and nothing would say so.

/** What compilers write where a class has private names and the target language has none. */
const LOWERED = /\b__privateAdd\(this|\b__classPrivateFieldSet\(|\b_classPrivateField(?:Set2?|InitSpec)\(this/;
const PRIVATE_NAME = /#[\p{ID_Start}$_]/u;
const AFTER_VALUE = /[\w$)\]}]/;
/** Words after which a slash starts a regular expression although they look like a value. */
const BEFORE_REGEXP = /(?:^|[^.\w$])(?:return|typeof|case|in|of|delete|void|throw|new|else|do|instanceof|yield|await)$/;

/** The first private instance member in the class's source, or undefined. */
export function privateMember(source: string): string | undefined {
  if (LOWERED.test(source)) return "a private field";
  return PRIVATE_NAME.test(source) ? new ClassSource(source).privateMember() : undefined;
}

/** Words between `static` and the member's name. */
const MODIFIER = /^(?:async|get|set|accessor)$/;

/** Walks the source once and looks at what stands directly in the class body. */
class ClassSource {
  readonly #text: string;
  #at = 0;
  /** Last character that is neither space nor comment, and where it stands. */
  #last = "";
  #lastAt = 0;

  constructor(text: string) {
    this.#text = text;
  }

  privateMember(): string | undefined {
    const text = this.#text;
    let depth = 0;
    let isStatic = false;
    for (this.#at = 0; this.#at < text.length; ) {
      const char = text[this.#at];
      if (this.#skipInert(char)) continue;
      if (depth === 1 && char === "#" && this.#last !== ".") {
        const name = /^#[\p{ID_Continue}$]+/u.exec(text.slice(this.#at, this.#at + 200))?.[0] ?? "#";
        const isTest = /^\s+in\b/.test(text.slice(this.#at + name.length, this.#at + name.length + 20));
        if (!isStatic && !isTest) return name;
        isStatic = false;
        this.#advance(name.length);
        continue;
      }
      if (char === "{" || char === "(" || char === "[") depth++;
      else if (char === "}" || char === ")" || char === "]") depth--;
      const word = /^[\p{ID_Start}$_][\p{ID_Continue}$]*/u.exec(text.slice(this.#at, this.#at + 64))?.[0];
      if (word === "static") isStatic = depth === 1;
      else if (word === undefined ? char !== "*" : !MODIFIER.test(word)) isStatic = false;
      this.#advance(word?.length ?? 1);
    }
    return undefined;
  }

  #advance(count: number): void {
    this.#at += count;
    this.#last = this.#text[this.#at - 1];
    this.#lastAt = this.#at;
  }

  /** Skips one space, comment, string, template or regular expression; false when there is none. */
  #skipInert(char: string): boolean {
    const text = this.#text;
    if (/\s/.test(char)) {
      this.#at++;
    } else if (char === "/" && text[this.#at + 1] === "/") {
      this.#at = endOf(text.indexOf("\n", this.#at), 1, text);
    } else if (char === "/" && text[this.#at + 1] === "*") {
      this.#at = endOf(text.indexOf("*/", this.#at + 2), 2, text);
    } else if (char === '"' || char === "'") {
      this.#skipTo(closing(text, this.#at + 1, char));
    } else if (char === "`") {
      this.#skipTo(closingTemplate(text, this.#at + 1));
    } else if (char === "/" && this.#startsRegExp()) {
      this.#skipTo(closingRegExp(text, this.#at + 1));
    } else {
      return false;
    }
    return true;
  }

  #skipTo(end: number): void {
    this.#at = end;
    this.#last = ")";
    this.#lastAt = end;
  }

  #startsRegExp(): boolean {
    if (!AFTER_VALUE.test(this.#last)) return true;
    return BEFORE_REGEXP.test(this.#text.slice(Math.max(0, this.#lastAt - 12), this.#lastAt));
  }
}

function endOf(found: number, length: number, text: string): number {
  return found < 0 ? text.length : found + length;
}

function closing(text: string, from: number, quote: string): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === quote) return at + 1;
  }
  return text.length;
}

/** Past the end of a template; the code in its `${}` holds no class members of the class around it. */
function closingTemplate(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "`") return at + 1;
    else if (text[at] === "$" && text[at + 1] === "{") at = closingBrace(text, at + 2) - 1;
  }
  return text.length;
}

function closingBrace(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === "{") depth++;
    else if (char === "}" && --depth === 0) return at + 1;
    else if (char === '"' || char === "'") at = closing(text, at + 1, char) - 1;
    else if (char === "`") at = closingTemplate(text, at + 1) - 1;
  }
  return text.length;
}

function closingRegExp(text: string, from: number): number {
  let inClass = false;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === "\\") at++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "\n") return from;
    else if (char === "/" && !inClass) return at + 1;
  }
  return text.length;
}
