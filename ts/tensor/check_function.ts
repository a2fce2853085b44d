/** What runs a function of the user's must get the function. */

import { describeValue } from '../describe_value.ts';
import { isThenable } from './thenable.ts';

/** @throws TypeError for what is no function, a promise for example: what it stands for has begun before, and outside. */
export function checkFunction(where: string, fn: unknown): void {
  if (typeof fn !== 'function') {
    const given = isThenable(fn) ? 'a promise; pass the function itself, not what it returns' : describeValue(fn);
    throw new TypeError(`${where}: expected a function, got ${given}`);
  }
}
