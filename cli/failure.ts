// How a command says that it found something wrong which it has told already.

/** Exit status 1 without another word. */
export class FoundWrong extends Error {}
