// What Piscina's threads run.

export function smallValue(): string {
  return "ok";
}
