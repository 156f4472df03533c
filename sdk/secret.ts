// Values that are named where a program is written and read where it runs: only the name ever travels.

import { InvalidArgumentError, NotFoundError } from "../runtime/errors.ts";
import { REDUCE_BRAND } from "../runtime/serialize/index.ts";

/** An environment variable's name: what POSIX calls one. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** A password, key or token of the place where code runs. Capture it, or pass it; whatever shows it shows its name. */
export class Secret {
  readonly name: string;

  /** @internal Made by `secret()`. */
  constructor(name: string) {
    this.name = name;
    Object.freeze(this);
  }

  /**
   * The content: the environment variable of that name in the process that asks, read anew each time and kept nowhere.
   *
   * @throws NotFoundError when this process has no such variable.
   */
  value(): string {
    const content = process.env[this.name];
    if (content !== undefined) return content;
    throw new NotFoundError(
      `secret "${this.name}" is not set in process ${process.pid}: its content is the environment variable ${this.name} of the ` +
        "process that reads it. Set it where the node is started (troupe start, or the program for a private cluster)",
      { secretName: this.name },
    );
  }

  toString(): string {
    return `[secret ${this.name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.toPrimitive](): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** @internal */
  [REDUCE_BRAND](): readonly [restore: Function, args: readonly unknown[]] {
    return [secret, [this.name]];
  }
}

/**
 * Names a value that workers read from their own environment. Its content is in no message, code, log or error of Troupe.
 *
 * @throws InvalidArgumentError for what is no name of an environment variable.
 */
export function secret(name: string): Secret {
  if (typeof name === "string" && NAME.test(name)) return new Secret(name);
  // The name only when it can't be the content given by mistake.
  const got = typeof name === "string" ? "another string" : typeof name;
  throw new InvalidArgumentError(`secret: expected the name of an environment variable, such as "DB_PASSWORD", not ${got}`);
}
