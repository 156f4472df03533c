// Quotas of jobs on one node: a job gets no more here than the share of its quota that the head gave this node.
//
// What leases, actors and bundles of such a job hold is counted. Work that this node has room for and the share has not is told
// to the head (quota-book.ts), with what is held: from then on the share is at most that, so nothing lies idle in a node that
// does not need it. A share may fall below what is held: then nothing more is granted until enough has come back. A task that
// goes on after a wait takes its CPU back at once, also beyond the share, as it does with the node's own.

import type { QuotaReport, QuotaShare, QuotaWant } from "./quota-book.ts";
import type { Shape } from "./order-book.ts";
import {
  addResources, amountOf, emptyResources, formatResources, leastResources, NO_RESOURCES, type Resources, resourcesFit,
  resourcesKey, subtractResources,
} from "./resources.ts";

/** Grants of a job that may pass a shape of it that its share has no room for. */
const PASSES_MAX = 32;

interface Blocked {
  readonly count: number;
  /** Grants of its job when that began. */
  readonly since: number;
}

interface Account {
  /** Undefined until the head has told it: until then nothing is granted. */
  limit: Resources | undefined;
  share: Resources;
  version: number;
  /** Other nodes wait for what this job holds here. */
  wanted: boolean;
  held: Resources;
  grants: number;
  /** Shapes that have room on the node and none in the share. */
  blocked: Map<Shape, Blocked>;
  next: Map<Shape, Blocked>;
  /** What was told last. */
  told: string;
}

export class QuotaGate {
  readonly #accounts = new Map<string, Account>();

  /** What the head tells of a job. Without a quota it is none of this one's concern. */
  learn(jobId: string, limit: Resources | undefined): void {
    const known = this.#accounts.get(jobId);
    if (limit === undefined) this.#accounts.delete(jobId);
    else if (known === undefined) this.#accounts.set(jobId, newAccount(limit));
    else known.limit ??= limit;
  }

  /** An order came from a node that knows of a quota; the head may not have told this one yet. */
  expect(jobId: string): void {
    if (!this.#accounts.has(jobId)) this.#accounts.set(jobId, newAccount(undefined));
  }

  limits(jobId: string): boolean {
    return this.#accounts.has(jobId);
  }

  shared({ jobId, version, share, wanted }: QuotaShare): void {
    const account = this.#accounts.get(jobId);
    if (account === undefined || version <= account.version) return;
    Object.assign(account, { version, share, wanted });
  }

  forget(jobId: string): void {
    this.#accounts.delete(jobId);
  }

  charge(jobId: string, resources: Resources): void {
    const account = this.#accounts.get(jobId);
    if (account === undefined) return;
    account.held = addResources(account.held, counted(account, resources));
    account.grants += 1;
  }

  credit(jobId: string, resources: Resources): void {
    const account = this.#accounts.get(jobId);
    if (account !== undefined) account.held = subtractResources(account.held, counted(account, resources));
  }

  /** Why its job may never hold as much. */
  excess({ jobId, placement }: Shape): string | undefined {
    const account = this.#accounts.get(jobId);
    if (account?.limit === undefined || resourcesFit(counted(account, placement.resources), account.limit)) return undefined;
    return `asks for ${formatResources(placement.asked)}, and the quota of its job is ${formatResources(account.limit)}`;
  }

  /** Whether `count` times as much is asked for in vain; if so the head hears of it after this pass. */
  admits(shape: Shape, count: number): boolean {
    const account = this.#accounts.get(shape.jobId);
    if (account === undefined) return true;
    const asked = counted(account, shape.placement.resources);
    const starving = starvingOf(account);
    const fits = resourcesFit(asked, subtractResources(account.share, account.held));
    if (fits && (starving === undefined || starving === shape)) return true;
    if (!fits) account.next.set(shape, { count, since: account.blocked.get(shape)?.since ?? account.grants });
    return isEmpty(asked);
  }

  /** It had room on its node when it was looked at last. */
  blocks(shape: Shape): boolean {
    return this.#accounts.get(shape.jobId)?.blocked.has(shape) ?? false;
  }

  /** Jobs that hold something here which others of the job wait for, here or elsewhere. */
  claims(): { readonly jobId: string; readonly blocked: readonly Shape[]; readonly over: Resources }[] {
    const isClaimed = ({ blocked, wanted, held, share }: Account): boolean => (
      !isEmpty(held) && (blocked.size > 0 || wanted || !resourcesFit(held, share))
    );
    return [...this.#accounts]
      .filter(([, account]) => isClaimed(account))
      .map(([jobId, { blocked, held, share }]) => (
        { jobId, blocked: [...blocked.keys()], over: positive(subtractResources(held, share)) }
      ));
  }

  /** What the job may take of what is available. */
  roomOf(jobId: string, available: Resources): Resources {
    const account = this.#accounts.get(jobId);
    if (account === undefined) return available;
    const free = subtractResources(account.share, account.held);
    const room = { ...available };
    for (const name in account.limit) room[name] = Math.min(amountOf(available, name), amountOf(free, name));
    return room;
  }

  beginPass(): void {
    for (const account of this.#accounts.values()) account.next = new Map();
  }

  /** After a pass, while what is promised to workers that start is charged: what the head is to hear, if it is news. */
  endPass(): QuotaReport[] {
    const reports: QuotaReport[] = [];
    for (const [jobId, account] of this.#accounts) {
      account.blocked = account.next;
      const report = reportOf(jobId, account);
      const told = textOf(report);
      if (told === account.told) continue;
      account.told = told;
      account.share = leastResources(account.share, account.held);
      reports.push(report);
    }
    return reports;
  }

  /** Everything once more, between passes, for a head that knows nothing yet. */
  reports(): QuotaReport[] {
    return [...this.#accounts].map(([jobId, account]) => {
      account.share = leastResources(account.share, account.held);
      const report = reportOf(jobId, account);
      account.told = textOf(report);
      return report;
    });
  }
}

function newAccount(limit: Resources | undefined): Account {
  return {
    limit, share: NO_RESOURCES, version: 0, wanted: false, held: NO_RESOURCES, grants: 0, blocked: new Map(), next: new Map(),
    told: "0 ",
  };
}

/** The part that the quota is about; all of it while that is not known. */
function counted({ limit }: Account, resources: Resources): Resources {
  const part = emptyResources();
  for (const name in resources) if (resources[name] > 0 && (limit === undefined || name in limit)) part[name] = resources[name];
  return part;
}

function reportOf(jobId: string, account: Account): QuotaReport {
  const { version, held, blocked } = account;
  const wants = [...blocked].map(([shape, { count }]): QuotaWant => (
    { resources: counted(account, shape.placement.resources), count }
  ));
  return { jobId, version, keep: held, wants };
}

function textOf({ version, keep, wants }: QuotaReport): string {
  const wishes = wants.map(({ resources, count }) => `${resourcesKey(resources)}*${count}`);
  return [version, resourcesKey(keep), ...wishes].join(" ");
}

function starvingOf({ blocked, grants }: Account): Shape | undefined {
  for (const [shape, { since }] of blocked) if (grants - since > PASSES_MAX) return shape;
  return undefined;
}

function isEmpty(resources: Resources): boolean {
  return Object.values(resources).every((amount) => amount <= 0);
}

function positive(resources: Resources): Resources {
  const part = emptyResources();
  for (const name in resources) if (resources[name] > 0) part[name] = resources[name];
  return part;
}
