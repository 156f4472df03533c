// What freed an object, as its readers are told.

export interface ObjectEnd {
  /** Its last handle was dropped or released, somebody called `free`, its `ttlMs` was over, or its scope was freed. */
  readonly by: "release" | "free" | "ttl" | "scope";
  /** The name of that scope, where it is known. */
  readonly scope: string;
}

const KINDS: readonly ObjectEnd["by"][] = ["free", "ttl", "scope"];

/** What a message says. An object of which nothing is known any more was given up by all who had it. */
export function objectEndOf(told: { readonly by: string; readonly scope: string } | null | undefined): ObjectEnd {
  return { by: KINDS.find((one) => one === told?.by) ?? "release", scope: told?.scope ?? "" };
}

/** To come after "object x". */
export function endStory({ by, scope }: ObjectEnd): string {
  if (by === "free") return "was freed by free()";
  if (by === "ttl") return "was freed: the ttlMs it was detached with are over";
  if (by === "scope") return scope === "" ? "was freed with its scope" : `was freed with its scope "${scope}"`;
  return "was freed before it was read: its last handle was dropped or released";
}
