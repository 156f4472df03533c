// Files that shipped code names, where the process that made it and this one have them at different places.

import type { Payload, PayloadNode } from "./payload.ts";

/** Names in code are the maker's; a process that has its files elsewhere says where. */
export interface FileNames {
  /** Where this process has what the code's maker calls so. */
  here(url: string): string;
  /** From where to look for a package that a file of the maker imports. */
  hereFor(importer: string, packageName: string): string;
  /** What the maker of the code here calls a file of this process. */
  origin(url: string): string;
}

/** The payload with the names of this process. */
export function namedHere(payload: Payload, names: FileNames | undefined): Payload {
  if (names === undefined) return payload;
  const rename = (url: string): string => names.here(url);
  const base = (from: string, specifier: string): string => names.hereFor(from, packageOf(specifier));
  return { ...payload, nodes: payload.nodes.map((node) => renamed(node, rename, base)) };
}

/** The nodes with the names of their maker. */
export function namedByOrigin(nodes: readonly PayloadNode[], names: FileNames | undefined): readonly PayloadNode[] {
  if (names === undefined) return nodes;
  const rename = (url: string): string => names.origin(url);
  return nodes.map((node) => renamed(node, rename, rename));
}

function renamed(
  node: PayloadNode, rename: (url: string) => string, base: (from: string, specifier: string) => string,
): PayloadNode {
  switch (node.k) {
    case "fn": case "class": return { ...node, position: { ...node.position, file: rename(node.position.file) } };
    case "meta": case "require": case "module": return { ...node, url: rename(node.url) };
    case "import":
      return node.from === ""
        ? { ...node, specifier: rename(node.specifier) }
        : { ...node, from: base(node.from, node.specifier) };
    default: return node;
  }
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
