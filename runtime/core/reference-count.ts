// Who still needs an object, at its owner: handles here, tasks and containers in flight here, and borrowing processes.
//
// Pure. Counts of borrowers are signed and one a hand-over: whoever hands a ref to process P has `Borrow{for: P}` counted once,
// P's `Drop` takes back as many as it was handed. A Drop that overtakes its Borrow leaves a negative count until the Borrow
// arrives, so an object is free only when every count is zero. A borrower's death drops its counts only after a grace time,
// which covers a ref that it handed on in its last moment.

export interface ReferenceCount {
  /** Handles, containers and pending uses inside the owner's own process. */
  local: number;
  /** Signed hand-overs a borrower process; entries at zero are removed. */
  borrowers: Map<string, number> | undefined;
}

export function newReferenceCount(): ReferenceCount {
  return { local: 0, borrowers: undefined };
}

export function addLocal(count: ReferenceCount): void {
  count.local += 1;
}

/** True when this was the last reference of any kind. */
export function dropLocal(count: ReferenceCount): boolean {
  if (count.local <= 0) throw new Error("a local reference was dropped twice");
  count.local -= 1;
  return isFree(count);
}

/** `change` is positive for a hand-over to the borrower, negative for its drops. True when this left no reference. */
export function changeBorrower(count: ReferenceCount, borrower: string, change: number): boolean {
  count.borrowers ??= new Map();
  const next = (count.borrowers.get(borrower) ?? 0) + change;
  if (next === 0) count.borrowers.delete(borrower);
  else count.borrowers.set(borrower, next);
  return isFree(count);
}

/** The grace time after a borrower's death is over. True when this left no reference. */
export function forgetBorrower(count: ReferenceCount, borrower: string): boolean {
  return count.borrowers?.delete(borrower) === true && isFree(count);
}

export function isFree(count: ReferenceCount): boolean {
  return count.local === 0 && (count.borrowers === undefined || count.borrowers.size === 0);
}
