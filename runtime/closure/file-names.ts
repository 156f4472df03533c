// Files that shipped code names, where the process that made it and this one have them at different places.

import type { Payload, PayloadNode } from "./payload.ts";

/** Names in code are the maker's; a process that has its files elsewhere says where. */
export interface FileNames {
  /** Where this process has a module that the code's maker calls so. */
  here(url: string): string;
  /** From where a file of the maker imports a package. */
  importer(url: string, packageName: string): string;
  /** What a text from that file is called: what it imports while it runs is looked for from there. */
  text(url: string): string;
  /** What the maker of the code here calls a file of this process. */
  origin(url: string): string;
}

/** The payload with the names of this process. */
export function namedHere(payload: Payload, names: FileNames | undefined): Payload {
  if (names === undefined) return payload;
  return { ...payload, nodes: payload.nodes.map((node) => renamed(node, names)) };
}

/** The nodes with the names of their maker. */
export function namedByOrigin(nodes: readonly PayloadNode[], names: FileNames | undefined): readonly PayloadNode[] {
  if (names === undefined) return nodes;
  const origin = (url: string): string => names.origin(url);
  return nodes.map((node) => renamed(node, { here: origin, importer: origin, text: origin }));
}

function renamed(node: PayloadNode, names: Pick<FileNames, "here" | "importer" | "text">): PayloadNode {
  switch (node.k) {
    case "fn": case "class": {
      const { position, map } = node;
      return {
        ...node, position: { ...position, file: names.text(position.file) },
        ...(map === undefined ? {} : { map: { ...map, sources: map.sources.map((source) => names.text(source)) } }),
      };
    }
    case "require": case "vite-import": return { ...node, url: names.text(node.url) };
    case "meta": case "module": return { ...node, url: names.here(node.url) };
    case "import":
      return node.from === ""
        ? { ...node, specifier: names.here(node.specifier) }
        : { ...node, from: names.importer(node.from, packageOf(node.specifier)) };
    default: return node;
  }
}

function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
