/**
 * Tells the objects of this copy of the library from those of another one. A page or a program may load two: a file imports it and
 * another requires it, two versions are installed, or a module was reloaded while its old objects live. Each copy has memory and
 * classes of its own, so neither can use the other's objects.
 */

import { describeValue } from './describe_value.ts';
import { TwoCopiesError } from './errors.ts';

/** The property of tensors and modules that says of which copy they are. All copies know it by the same name. */
export const copyKey: unique symbol = Symbol.for('syncbn.copy');

/** Stands for this copy of the library. */
export const thisCopy: object = {};

/** @throws TwoCopiesError for a tensor or module of another copy of the library. Anything else passes. */
export function refuseOtherCopy(value: unknown): void {
  if (typeof value === 'object' && value !== null) {
    const copy = (value as { readonly [copyKey]?: unknown })[copyKey];
    if (copy !== undefined && copy !== thisCopy) {
      throw new TwoCopiesError(describeValue(value));
    }
  }
}
