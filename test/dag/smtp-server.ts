// A server that takes mail as SMTP has it, with a password, and keeps what it took.

import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  /** Headers and body, as they came. */
  readonly data: string;
}

export class SmtpServer {
  readonly mails: Mail[] = [];
  /** The next so many mails are refused for now. */
  refusals = 0;
  readonly #user: string;
  readonly #password: string;
  readonly #server: Server = createServer((socket) => void this.#serve(socket));
  readonly #sockets = new Set<Socket>();

  constructor(user: string, password: string) {
    this.#user = user;
    this.#password = password;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket.on("error", () => {}));
    const say = (line: string): void => void socket.write(`${line}\r\n`);
    let [from, to, data, isData, isKnown] = ["", [] as string[], [] as string[], false, false];
    say("220 test");
    for await (const line of createInterface(socket)) {
      if (isData && line !== ".") data.push(line);
      else if (isData) {
        isData = false;
        this.mails.push({ from, to, data: data.join("\n") });
        [to, data] = [[], []];
        say("250 taken");
      } else if (/^EHLO/i.test(line)) say("250-test\r\n250 AUTH PLAIN");
      else if (/^AUTH PLAIN /i.test(line)) {
        isKnown = Buffer.from(line.slice(11), "base64").toString() === `\0${this.#user}\0${this.#password}`;
        say(isKnown ? "235 welcome" : "535 wrong password");
      } else if (!isKnown) say("530 who are you");
      else if (/^MAIL FROM/i.test(line) && this.refusals > 0) {
        this.refusals -= 1;
        say("451 later");
      } else if (/^MAIL FROM/i.test(line)) {
        from = addressIn(line);
        say("250 ok");
      } else if (/^RCPT TO/i.test(line)) {
        to.push(addressIn(line));
        say("250 ok");
      } else if (/^DATA/i.test(line)) {
        isData = true;
        say("354 go on");
      } else if (/^QUIT/i.test(line)) {
        say("221 bye");
        socket.end();
      } else say("250 ok");
    }
    this.#sockets.delete(socket);
  }
}

function addressIn(line: string): string {
  return /<([^>]*)>/.exec(line)?.[1] ?? "";
}
