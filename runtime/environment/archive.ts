// A folder as one run of bytes: the same bytes for the same files, whoever packs them.
//
//   "troupe1\n"  then for each entry: kind (1 byte), path (2 bytes length, UTF-8), and
//     folder: nothing     file, program: size (6 bytes), content     link: target (2 bytes length, UTF-8)
//   end: kind 0, number of entries (4 bytes)
//
// A folder comes before what is in it. Numbers are little-endian. Of modes only "can be executed" is kept.

export const MAGIC = Buffer.from("troupe1\n");
export const KINDS = { end: 0, folder: 1, file: 2, program: 3, link: 4 } as const;
/** Entries of one archive. */
export const ENTRIES_MAX = 100_000;
/** Bytes of one path, and of one name in it. */
const PATH_BYTES_MAX = 2048;
const NAME_BYTES_MAX = 255;
/** Links that one path may lead through. */
const LINKS_FOLLOWED_MAX = 40;

/** What is wrong with the path of an entry; undefined when it stays inside wherever it is unpacked. */
export function pathProblem(path: string): string | undefined {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) return `is longer than ${PATH_BYTES_MAX} bytes`;
  for (const name of path.split("/")) {
    if (name === "" || name === "." || name === "..") return "is no plain relative path";
    if (name.includes("\0")) return "has a zero byte";
    if (Buffer.byteLength(name) > NAME_BYTES_MAX) return `has a name longer than ${NAME_BYTES_MAX} bytes`;
  }
  return undefined;
}

/** The first link that leads out of the folder, or nowhere because links lead to one another; undefined when none does. */
export function leadsOut(links: ReadonlyMap<string, string>): string | undefined {
  // File systems that do not tell case apart follow links that others don't have: it must hold for both.
  const folded = new Map([...links].map(([path, target]) => [fold(path), target]));
  for (const [path, target] of links) {
    if (!staysInside(path, target, links, (name) => name) || !staysInside(path, target, folded, fold)) return path;
  }
  return undefined;
}

function fold(path: string): string {
  return path.normalize("NFC").toLowerCase();
}

function staysInside(
  path: string, target: string, links: ReadonlyMap<string, string>, keyOf: (path: string) => string,
): boolean {
  const at = path.split("/").slice(0, -1);
  let left = target.split("/");
  if (target.startsWith("/") || target === "" || target.includes("\0")) return false;
  for (let followed = 0; left.length > 0; ) {
    const [name, ...rest] = left;
    left = rest;
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (at.pop() === undefined) return false;
      continue;
    }
    at.push(name);
    const next = links.get(keyOf(at.join("/")));
    if (next === undefined) continue;
    followed += 1;
    if (followed > LINKS_FOLLOWED_MAX || next.startsWith("/")) return false;
    at.pop();
    left = [...next.split("/"), ...left];
  }
  return true;
}
