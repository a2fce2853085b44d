/** What may be a child of a container of modules. */

import { copyKey } from '../copy_of_library.ts';
import { describeValue } from '../describe_value.ts';
import type { Module } from './module.ts';
import { isModule } from './module_tree.ts';

/** @throws TypeError for what is no module, or has no forward. */
export function checkModule(where: string, module: unknown, position: number | string): asserts module is Module {
  if (!isModule(module)) {
    throw new TypeError(
      `${where}: expected modules, got ${describeValue(module)} at position ${position}; ${remedyFor(module, where)}`,
    );
  }
  if (typeof module.forward !== 'function') {
    throw new TypeError(`${where}: ${module.constructor.name} at position ${position} has no forward()`);
  }
}

function remedyFor(value: unknown, where: string): string {
  if (Array.isArray(value)) {
    return where === 'Sequential'
      ? 'give the modules one by one: new Sequential(...modules)'
      : 'hold them in a ModuleList';
  }
  if (typeof value === 'function') {
    const { prototype } = value as { readonly prototype?: object };
    return prototype !== undefined && copyKey in prototype
      ? 'make an instance of the class with new'
      : 'put a function into the forward() of a class that extends Module';
  }
  return 'a module is an instance of a class that extends Module';
}
