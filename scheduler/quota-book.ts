// Quotas of jobs in the whole cluster: which part of a job's quota each node may use. The head's half of quota-gate.ts.
//
// What nodes hold and may take is never more than the quota together: `held` of a node is what it told to hold, and all of what
// it was given since. A node tells which version of its share it had seen, so news that cross on the way lose nothing. Nodes that
// wait are served in turn, whole requests at a time, so no two keep halves of what neither can use. While one waits, the others
// are asked to let go of what stands idle, and one that would still have as much as it is given less.

import {
  addResources, amountOf, emptyResources, leastResources, NO_RESOURCES, type Resources, resourcesFit, subtractResources,
} from "./resources.ts";

export interface QuotaWant {
  readonly resources: Resources;
  readonly count: number;
}

/** A node of one of its jobs. */
export interface QuotaReport {
  readonly jobId: string;
  /** Of the share it had seen. */
  readonly version: number;
  /** Held, or promised to a worker that starts: the rest of its share is given up. */
  readonly keep: Resources;
  /** What it has room for and may not take. */
  readonly wants: readonly QuotaWant[];
}

export interface QuotaShare {
  readonly jobId: string;
  readonly version: number;
  /** All that the node may use. */
  readonly share: Resources;
  /** Others wait: what stands idle is wanted back. */
  readonly wanted: boolean;
}

export type QuotaEffect = QuotaShare & { readonly node: string };

/** Grants of others that may pass a node whose request does not fit what is free. */
const PASSES_MAX = 32;

interface Part {
  share: Resources;
  held: Resources;
  version: number;
  wanted: boolean;
  wants: readonly QuotaWant[];
  passed: number;
}

interface Book {
  readonly limit: Resources;
  /** Least recently served first. */
  readonly nodes: Map<string, Part>;
}

export class QuotaBook {
  readonly #jobs = new Map<string, Book>();
  #isOpen = false;

  /** Whoever holds something has told it, or is dead: from now on shares are given. */
  open(): QuotaEffect[] {
    this.#isOpen = true;
    return [...this.#jobs].flatMap(([jobId, book]) => this.#distribute(jobId, book));
  }

  /** A repeat changes nothing. */
  begun(jobId: string, limit: Resources): void {
    if (!this.#jobs.has(jobId)) this.#jobs.set(jobId, { limit, nodes: new Map() });
  }

  ended(jobId: string): void {
    this.#jobs.delete(jobId);
  }

  limitOf(jobId: string): Resources | undefined {
    return this.#jobs.get(jobId)?.limit;
  }

  /** What nodes hold of it, and may take. */
  heldOf(jobId: string): Resources {
    const parts = [...(this.#jobs.get(jobId)?.nodes.values() ?? [])];
    return parts.reduce((sum, { held }) => addResources(sum, held), NO_RESOURCES);
  }

  reported(node: string, { jobId, version, keep, wants }: QuotaReport): QuotaEffect[] {
    const book = this.#jobs.get(jobId);
    if (book === undefined) return [];
    let part = book.nodes.get(node);
    if (part === undefined) {
      book.nodes.set(node, (part = { share: keep, held: keep, version, wanted: false, wants, passed: 0 }));
    }
    part.wants = wants;
    // One that had not seen its last share may take all of that yet.
    if (version === part.version) {
      part.share = leastResources(part.share, keep);
      part.held = keep;
    }
    return this.#distribute(jobId, book);
  }

  /** What ran there is gone. */
  nodeGone(node: string): QuotaEffect[] {
    return [...this.#jobs].flatMap(([jobId, book]) => (book.nodes.delete(node) ? this.#distribute(jobId, book) : []));
  }

  #distribute(jobId: string, book: Book): QuotaEffect[] {
    if (!this.#isOpen) return [];
    const changed = new Set<string>();
    let free = subtractResources(book.limit, this.heldOf(jobId));
    for (let served = true; served; ) {
      served = false;
      for (const [node, part] of [...book.nodes]) {
        const [want] = part.wants;
        if (want === undefined) continue;
        if (!resourcesFit(want.resources, free)) {
          if (part.passed >= PASSES_MAX) break;
          continue;
        }
        give(part, want);
        free = subtractResources(free, want.resources);
        for (const other of book.nodes.values()) if (other !== part && other.wants.length > 0) other.passed += 1;
        book.nodes.delete(node);
        book.nodes.set(node, part);
        changed.add(node);
        served = true;
      }
    }
    for (const node of this.#ask(book)) changed.add(node);
    return [...changed].map((node) => {
      const part = book.nodes.get(node) as Part;
      part.version += 1;
      return { node, jobId, version: part.version, share: part.share, wanted: part.wanted };
    });
  }

  /** Nodes that are to hear that others wait, or do no more, or that their share is less. */
  #ask(book: Book): string[] {
    const waiting = poorest(book);
    const changed: string[] = [];
    for (const [node, part] of book.nodes) {
      const wanted = waiting !== undefined && part !== waiting && hasAny(part.held, NO_RESOURCES);
      const less = wanted ? lessFor(waiting, part) : undefined;
      if (wanted === part.wanted && less === undefined) continue;
      part.wanted = wanted;
      part.share = less ?? part.share;
      changed.push(node);
    }
    return changed;
  }
}

/** Of those that wait, the one that has least of what it waits for. */
function poorest({ nodes }: Book): Part | undefined {
  const wealth = ({ held, wants: [want] }: Part): number => (
    Object.keys(want.resources).reduce((sum, name) => sum + amountOf(held, name), 0)
  );
  let found: Part | undefined;
  for (const part of nodes.values()) {
    if (part.wants.length > 0 && (found === undefined || wealth(part) < wealth(found))) found = part;
  }
  return found;
}

function give(part: Part, { resources, count }: QuotaWant): void {
  part.share = addResources(part.share, resources);
  part.held = addResources(part.held, resources);
  part.passed = 0;
  const rest = part.wants.slice(1);
  part.wants = count > 1 ? [...rest, { resources, count: count - 1 }] : rest;
}

/** The share without one request of the waiting node; undefined if it would then have no more than that one. */
function lessFor(waiting: Part, holder: Part): Resources | undefined {
  const { resources } = waiting.wants[0];
  // It was given less already, and has not come down to it.
  if (hasAny(holder.held, holder.share)) return undefined;
  const rest = emptyResources();
  Object.assign(rest, holder.share);
  for (const name in resources) rest[name] = Math.max(0, amountOf(rest, name) - resources[name]);
  const then = addResources(waiting.held, resources);
  const isMore = (name: string): boolean => rest[name] < amountOf(holder.share, name) && rest[name] >= amountOf(then, name);
  return Object.keys(resources).some(isMore) ? rest : undefined;
}

/** More of something than the other. */
function hasAny(left: Resources, right: Resources): boolean {
  return Object.keys(left).some((name) => left[name] > (right[name] ?? 0));
}
