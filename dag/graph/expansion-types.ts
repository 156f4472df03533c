// The types of an expansion. Names of parameters are none of TypeScript's: which one a name means is not known to it. So an
// expansion is right when some choice of as many parameters as there are lists takes their elements, and the arguments beside
// them are the other parameters, in order.

import type { In, Node } from "./node.ts";

/** A list of values, or a node for one. */
export type ListOf<E = unknown> = readonly In<E>[] | Node<readonly E[]>;
export type Lists<E = unknown> = Readonly<Record<string, ListOf<E>>>;

/** The arguments beside the lists. Where the parameters or the names are not known one by one, all that some parameter takes. */
export type Beside<A extends readonly unknown[], L> =
  Known<A, L> extends true ? OrWrong<Fits<Splits<A>, L, CountOf<keyof L>>> : readonly In<A[number]>[];

type Known<A extends readonly unknown[], L> =
  number extends A["length"] ? false : string extends keyof L ? false : A extends Readonly<Short> ? true : false;
/** More parameters have too many choices. */
type Short = [unknown?, unknown?, unknown?, unknown?, unknown?, unknown?, unknown?];

type OrWrong<B> = [B] extends [never] ? [never: "no parameters take the elements of these lists"] : B;

interface Split {
  /** Of parameters that are expanded over. */
  readonly over: readonly unknown[];
  readonly beside: readonly unknown[];
}

type Splits<A extends readonly unknown[], O extends readonly unknown[] = [], B extends readonly unknown[] = []> =
  number extends A["length"] ? never
    : A extends readonly [] ? { readonly over: O; readonly beside: B }
    : A extends readonly [infer H, ...infer T] ? Splits<T, [...O, H], B> | Splits<T, O, [...B, In<H>]>
      : A extends readonly [(infer H)?, ...infer T] ? Splits<T, [...O, H], B> | Splits<T, O, [...B, In<H>?]>
        : never;

type Fits<S, L, N> = S extends Split
  ? S["over"]["length"] extends N ? ([L] extends [Lists<S["over"][number]>] ? Served<S["over"], L, S["beside"]> : never) : never
  : never;

/** `B` when there is a list for each of the parameters. */
type Served<O, L, B> = O extends readonly [infer H, ...infer T]
  ? [{ [K in keyof L]: [L[K]] extends [ListOf<H>] ? K : never }[keyof L]] extends [never] ? never : Served<T, L, B>
  : B;

/** How many there are in a union. */
type CountOf<U, N extends readonly unknown[] = []> =
  [U] extends [never] ? N["length"] : CountOf<Exclude<U, OneOf<U>>, [...N, U]>;
type OneOf<U> = Both<U extends unknown ? () => U : never> extends () => infer R ? R : never;
type Both<U> = (U extends unknown ? (one: U) => void : never) extends (both: infer B) => void ? B : never;

/** What is no more than one literal, `() => 1`, is not told apart from its like. */
export type Widened<R> =
  0 extends 1 & R ? R : IsUnion<R> extends false ? Like<R, number, Like<R, string, Like<R, boolean, R>>> : R;
type IsUnion<T, U = T> = T extends unknown ? ([U] extends [T] ? false : true) : never;
/** Types that are branded have more than what is like them. */
type Like<R, T, Else> = [R] extends [T] ? ([keyof R] extends [keyof T] ? T : Else) : Else;
