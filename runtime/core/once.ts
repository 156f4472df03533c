// Work that several ask for at once and that is done once for all of them.

/** What is under way already, or the work begun now. */
export function once<K, T>(underway: Map<K, Promise<T>>, key: K, work: () => Promise<T>): Promise<T> {
  let working = underway.get(key);
  if (working === undefined) {
    working = work().finally(() => underway.delete(key));
    underway.set(key, working);
  }
  return working;
}
