// What an object has beside its contents: nothing may be left out of a copy in silence, and looking must be cheap.

import { inspect, types } from "node:util";

const { getOwnPropertySymbols, isFrozen, values } = Object;
const FEW = 64;
/** Holes cost a byte each; an array that is mostly holes is written by its indices. */
const HOLES_MIN = 1024;

/** Looks at the properties that are not elements without listing the elements. */
const NO_ELEMENTS = { maxArrayLength: 0, depth: 0, breakLength: Infinity, customInspect: false, compact: true } as const;
const NO_ELEMENTS_HIDDEN = { ...NO_ELEMENTS, showHidden: true } as const;
const ONLY_ELEMENTS = /^\[ \.\.\. \d+ more items?(?:, \[length\]: \d+)? \]$/;
const ONLY_VIEW_ELEMENTS = / \[ \.\.\. \d+ more items? \]$/;

/**
 * True when an array has enumerable properties beside its elements, or is sparse. Symbols and hidden names are not looked for,
 * which would cost more than all the rest, except on frozen arrays: template literals give those a `raw`.
 */
export function isLoose(value: readonly unknown[]): boolean {
  const { length } = value;
  if (length <= FEW) return (values(value).length !== length || isFrozen(value)) && hasNames(value);
  const text = inspect(value, isFrozen(value) ? NO_ELEMENTS_HIDDEN : NO_ELEMENTS);
  if (!ONLY_ELEMENTS.test(text) && hasNames(value)) return true;
  let holes = 0;
  for (let i = 0; i < length; i++) {
    if (value[i] === undefined && !(i in value) && ++holes > HOLES_MIN && holes * 2 > i) return true;
  }
  return false;
}

/** Own keys come as elements, `length`, names, symbols. */
function hasNames(value: object): boolean {
  return Reflect.ownKeys(value).at(-1) !== "length";
}

/** Own properties of a built-in object beside those that its contents make. */
export function ownExtras(value: object): readonly (string | symbol)[] {
  if (Array.isArray(value)) return [];
  if (ArrayBuffer.isView(value)) return viewExtras(value);
  const keys = Reflect.ownKeys(value);
  if (keys.length === 0) return keys;
  if (types.isRegExp(value)) return keys.filter((key) => key !== "lastIndex");
  if (types.isStringObject(value)) {
    const { length } = value;
    return keys.filter((key) => key !== "length" && !(typeof key === "string" && isIndex(key, length)));
  }
  return keys;
}

function viewExtras(value: ArrayBufferView): readonly (string | symbol)[] {
  const length = "length" in value ? (value.length as number) : 0;
  const isMany = length > FEW && getOwnPropertySymbols(value).length === 0;
  if (isMany && ONLY_VIEW_ELEMENTS.test(inspect(value, NO_ELEMENTS))) return [];
  const keys = Reflect.ownKeys(value);
  return keys.length === length ? [] : keys.filter((key) => typeof key === "symbol" || !isIndex(key, length));
}

function isIndex(key: string, length: number): boolean {
  const index = Number(key);
  return index >= 0 && index < length && String(Math.trunc(index)) === key;
}

/** Node marks its own errors with a symbol that means nothing elsewhere. */
export function errorKeys(value: object): readonly (string | symbol)[] {
  return Reflect.ownKeys(value).filter((key) => typeof key === "string" || key.description !== "kIsNodeError");
}
