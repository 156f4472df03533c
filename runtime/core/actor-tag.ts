// A number that stands for an actor where there is room for one word only. 0 is none.

export function actorTag(actor: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < actor.length; index += 1) hash = Math.imul(hash ^ actor.charCodeAt(index), 0x01000193);
  return (hash | 0) || 1;
}
