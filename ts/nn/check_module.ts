/** What may be a child of a container of modules. */

import { describeValue } from '../describe_value.ts';
import type { Module } from './module.ts';
import { isModule } from './module_tree.ts';

/** @throws TypeError for what is no module, or has no forward. */
export function checkModule(where: string, module: unknown, position: number | string): asserts module is Module {
  if (!isModule(module)) {
    throw new TypeError(
      `${where}: expected modules, got ${describeValue(module)} at position ${position}; extend Module`,
    );
  }
  if (typeof module.forward !== 'function') {
    throw new TypeError(`${where}: ${module.constructor.name} at position ${position} has no forward()`);
  }
}
