// A violated invariant of the scheduler: a bug in it, never something a user did.

export function assert(condition: boolean, text: string): asserts condition {
  if (!condition) throw new Error(`scheduler invariant: ${text}`);
}
