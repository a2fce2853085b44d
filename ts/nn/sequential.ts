/** Modules one after another. */

import { describeValue } from '../describe_value.ts';
import type { Tensor } from '../tensor/tensor.ts';
import { Module } from './module.ts';
import { childrenOf, isModule } from './module_tree.ts';

interface TensorLayer {
  forward(x: Tensor): Promise<Tensor>;
}

/** Calls its modules in turn, each with the result of the one before. They are its children `0`, `1`, … */
export class Sequential extends Module {
  static readonly typeName: string = 'Sequential';

  /** @throws TypeError for what is no module. */
  constructor(...modules: readonly Module[]) {
    super();
    modules.forEach((module, i) => checkModule(module, i));
    Object.assign(this, modules);
  }

  async forward(x: Tensor): Promise<Tensor> {
    let value = x;
    for (const [, module] of childrenOf(this)) {
      // What a child takes and gives is known only when it runs.
      value = await (module as unknown as TensorLayer).forward(value);
    }
    return value;
  }
}

function checkModule(module: unknown, position: number): void {
  if (!isModule(module)) {
    throw new TypeError(
      `Sequential: expected modules, got ${describeValue(module)} at position ${position}; extend Module`,
    );
  }
  if (typeof module.forward !== 'function') {
    throw new TypeError(`Sequential: ${module.constructor.name} at position ${position} has no forward()`);
  }
}
