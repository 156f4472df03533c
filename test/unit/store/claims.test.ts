// Claim pages: one winner for each task, and nothing of one lease passes for another's.

import { describe, expect, test } from "vitest";
import { CLAIM_SLOTS, type ClaimPage, claimSalt, claimTag, createLocalClaims } from "../../../runtime/store/index.ts";

function pageOf(lease: string): { page: ClaimPage; salt: number } {
  const book = createLocalClaims();
  return { page: book.page(book.lease(lease)) as ClaimPage, salt: claimSalt(lease) };
}

describe("a claim", () => {
  test("is won once, by the worker or by who takes it back", () => {
    const { page, salt } = pageOf("a-1");
    const tag = claimTag(7, salt);
    page.queue(3, tag);
    expect(page.claim(3, tag)).toBe(true);
    expect([page.claim(3, tag), page.recall(3, tag), page.isClaimed(3, tag)]).toEqual([false, false, true]);
    page.queue(4, tag);
    expect([page.recall(4, tag), page.claim(4, tag), page.isClaimed(4, tag)]).toEqual([true, false, false]);
  });

  test("of an older task in the same slot is not one of the newer", () => {
    const { page, salt } = pageOf("a-1");
    page.queue(3, claimTag(7, salt));
    page.queue(3, claimTag(7 + CLAIM_SLOTS, salt));
    expect(page.claim(3, claimTag(7, salt))).toBe(false);
    expect(page.claim(3, claimTag(7 + CLAIM_SLOTS, salt))).toBe(true);
  });
});

test("what was started is told by its tags, and nothing else", () => {
  const { page, salt } = pageOf("a-1");
  const tags = [0, 1, 2, 2 ** 29 + 5].map((task) => claimTag(task, salt));
  tags.forEach((tag, slot) => page.queue(slot, tag));
  page.claim(1, tags[1]);
  page.recall(2, tags[2]);
  page.claim(3, tags[3]);
  expect(page.claimed()).toEqual([tags[1], tags[3]]);
});

test("leases of one agent share no tag for the tasks a page holds at once", () => {
  const seen = new Set<number>();
  for (let lease = 1; lease <= 50; lease += 1) {
    const salt = claimSalt(`0123456789abcdef-${lease}`);
    for (let task = 0; task < 200; task += 1) seen.add(claimTag(task, salt));
  }
  // Blocks of 256 numbers in 2^29: two of fifty hardly ever meet.
  expect(seen.size).toBe(50 * 200);
});

test("a page is given away again only after its lease was released, and then it is blank", () => {
  const book = createLocalClaims();
  const first = book.lease("a-1");
  expect(book.lease("a-2")).not.toBe(first);
  const tag = claimTag(1, claimSalt("a-1"));
  book.page(first)?.queue(0, tag);
  book.page(first)?.claim(0, tag);
  book.release("a-1");
  book.release("a-1");
  expect(book.lease("a-3")).toBe(first);
  expect(book.page(first)?.claimed()).toEqual([]);
  expect(book.lease("a-4")).not.toBe(first);
});
