// Templates that this worker was sent: what all calls of one function with one set of options have in common, once a channel.

import { Recent } from "../core/index.ts";
import { NotFoundError } from "../errors.ts";
import { TEMPLATES_A_LINK, type Link, type Session } from "../owner/index.ts";
import type { Template } from "../transport/index.ts";

export class Templates {
  readonly #session: Session;
  readonly #known = new Map<Link, Recent<number, Template>>();

  constructor(session: Session) {
    this.#session = session;
  }

  onTemplate(template: Template, link: Link): void {
    let known = this.#known.get(link);
    if (known === undefined) this.#known.set(link, (known = new Recent(TEMPLATES_A_LINK)));
    known.set(template.id, template);
    const { functionId, name } = template;
    if (functionId !== "") this.#session.code.revive({ id: functionId, name }).catch(ignoreUntilUse);
  }

  find(link: Link, id: number): Template {
    const template = this.#known.get(link)?.peek(id);
    if (template !== undefined) return template;
    throw new NotFoundError(`template ${id} was never sent by process ${link.process}`);
  }

  forget(link: Link): void {
    this.#known.delete(link);
  }
}

/** Code that can't be had is reported by each call that needs it, not by the arrival of its template. */
function ignoreUntilUse(): void {}
