// Code that this worker was sent: templates a channel, functions once a process.

import { NotFoundError } from "../errors.ts";
import type { CodeShipper } from "../closure/index.ts";
import type { Template } from "../transport/index.ts";
import type { Link } from "../owner/index.ts";

export class Functions {
  readonly #shipper: CodeShipper;
  readonly #templates = new Map<Link, Map<number, Template>>();
  readonly #ready = new Map<string, Function>();
  readonly #reviving = new Map<string, Promise<Function>>();

  constructor(shipper: CodeShipper) {
    this.#shipper = shipper;
  }

  onTemplate(template: Template, link: Link): void {
    let known = this.#templates.get(link);
    if (known === undefined) {
      known = new Map();
      this.#templates.set(link, known);
    }
    known.set(template.id, template);
    if (template.code.length > 0) this.load(template.functionId, template.code).catch(ignoreUntilUse);
  }

  template(link: Link, id: number): Template {
    const template = this.#templates.get(link)?.get(id);
    if (template !== undefined) return template;
    throw new NotFoundError(`template ${id} was never sent by process ${link.process}`);
  }

  /** The function when it is ready to be called now. */
  ready(functionId: string): Function | undefined {
    return this.#ready.get(functionId);
  }

  /** The function, waiting for its modules. Rejects each time with the reason when it can't be revived. */
  async whenReady(functionId: string): Promise<Function> {
    const reviving = this.#reviving.get(functionId);
    if (reviving === undefined) throw new NotFoundError(`code ${functionId} was never sent to this worker`);
    return reviving;
  }

  load(functionId: string, code: Uint8Array): Promise<Function> {
    let reviving = this.#reviving.get(functionId);
    if (reviving === undefined) {
      reviving = this.#shipper.revive(functionId, code).then((fn) => {
        this.#ready.set(functionId, fn);
        return fn;
      });
      this.#reviving.set(functionId, reviving);
    }
    return reviving;
  }

  forget(link: Link): void {
    this.#templates.delete(link);
  }
}

/** A failed revival is reported by each call that needs the function, not by its arrival. */
function ignoreUntilUse(): void {}
